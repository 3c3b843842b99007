//! What is posted is read back, at a price within bounds.

use alloy_primitives::{Bytes, U256};
use causeway_da::ethereum::packing::CAPACITY;
use causeway_da::{DaBackend, DaError};
use causeway_tests::anvil::{Anvil, PORTAL as PORTAL_CODE};

use super::{PORTAL, all, amount, blob, latest, open, pooled, poster, submit};

const GWEI: u128 = 1_000_000_000;

/// Bytes that fill blobs, and differ.
fn full(seed: u8, length: usize) -> Bytes {
    (0..length).map(|at| (at as u8).wrapping_mul(seed) ^ (at >> 8) as u8).collect()
}

#[tokio::test]
async fn blobs_of_all_sizes_are_read_back_by_a_node_without_a_key() -> eyre::Result<()> {
    // Cell proofs from Osaka on, proofs of whole blobs before.
    for (fork, most) in [("osaka", 6), ("prague", 9)] {
        let anvil = Anvil::start(&["--hardfork", fork])?;
        let da = poster(&anvil, "")?;
        let limits = da.limits().await?;
        assert_eq!(
            (limits.max_blob_bytes, limits.max_submission_bytes),
            (CAPACITY, most * CAPACITY)
        );
        let posts = [full(3, CAPACITY), Bytes::new(), full(5, 1), full(7, CAPACITY - 1)];
        let at = da.submit(&posts).await?;
        let reader = open(&[anvil.url()], &format!("beacon = [{:?}]", anvil.url()))?;
        let block = reader.read(at.height).await?;
        assert_eq!((block.da, &block.blobs[..]), (at, &posts[..]), "{fork}");
        let below = reader.read(at.height - 1).await?;
        assert_eq!((block.parent, below.blobs.len()), (below.da.hash, 0));
        assert!(block.time_ms >= below.time_ms && block.time_ms.is_multiple_of(1000));

        let refused = reader.submit(&posts).await.unwrap_err();
        assert!(matches!(&refused, DaError::Refused(why) if why.contains("key")), "{refused}");
        let many = vec![blob(1); most + 1];
        assert!(matches!(da.submit(&many).await, Err(DaError::TooLarge { .. })), "{fork}");
        assert_eq!(anvil.height().await?, at.height, "and nothing of it was sent");
    }
    Ok(())
}

#[tokio::test]
async fn a_transaction_that_no_block_takes_is_replaced_at_twice_the_price() -> eyre::Result<()> {
    let anvil = Anvil::start(&["--no-mining", "--gas-limit", "30000"])?;
    let da = poster(&anvil, "")?;
    let submitted = submit(&da, blob(1), None);
    let first = pooled(&anvil, None).await?;
    // The base fee goes above what it offers.
    anvil.mine_dear(amount(&first, "maxFeePerGas") + GWEI).await?;
    let second = pooled(&anvil, Some(Anvil::hash(&first)?)).await?;
    assert_eq!(second["nonce"], first["nonce"]);
    for field in ["maxFeePerGas", "maxPriorityFeePerGas", "maxFeePerBlobGas"] {
        assert!(amount(&second, field) >= 2 * amount(&first, field), "{field}");
    }
    // It offers enough, and three blocks have no room for it: another pays its proposers more.
    for _ in 0..3 {
        anvil.send_dear(100 * GWEI).await?;
        anvil.mine().await?;
    }
    let third = pooled(&anvil, Some(Anvil::hash(&second)?)).await?;
    assert!(amount(&third, "maxFeePerGas") >= 2 * amount(&second, "maxFeePerGas"));
    anvil.mine().await?;
    let at = submitted.await??;
    assert_eq!(da.read(at.height).await?.blobs, [blob(1)]);
    assert_eq!(all(&da).await?, [blob(1)], "once");
    Ok(())
}

#[tokio::test]
async fn nothing_is_paid_above_the_caps() -> eyre::Result<()> {
    let anvil = Anvil::start(&["--no-mining"])?;
    let da = poster(&anvil, "max_fee = \"5 gwei\"\npatience = \"5s\"")?;
    anvil.mine_dear(50 * GWEI).await?;
    let error = da.submit(&[blob(1)]).await.unwrap_err();
    assert!(error.is_temporary() && error.to_string().contains("max_fee"), "{error}");
    assert!(anvil.pool().await?.is_empty());
    // A spike that comes when it is under way leaves it where it is.
    anvil.mine_dear(GWEI).await?;
    let mut submitted = submit(&da, blob(1), None);
    let sent = tokio::select! {
        sent = pooled(&anvil, None) => sent?,
        ended = &mut submitted => panic!("it is not sent: {ended:?}"),
    };
    assert!(amount(&sent, "maxFeePerGas") <= 5 * GWEI);
    for _ in 0..4 {
        anvil.mine_dear(60 * GWEI).await?;
    }
    let error = submitted.await?.unwrap_err();
    assert!(error.is_temporary(), "{error}");
    assert!(error.to_string().contains("max_fee"), "{error}");
    // Anvil forgets what a block could not take. The same again is the same transaction, and what
    // it costs is what it offered before the spike.
    anvil.set_base_fee(GWEI).await?;
    let again = submit(&da, blob(1), None);
    assert_eq!(Anvil::hash(&pooled(&anvil, None).await?)?, Anvil::hash(&sent)?);
    anvil.mine().await?;
    again.await??;
    assert_eq!(all(&da).await?, [blob(1)]);
    Ok(())
}

#[tokio::test]
async fn a_budget_bounds_an_hour_and_the_runway_is_told() -> eyre::Result<()> {
    let anvil = Anvil::start(&[])?;
    let before = anvil.balance().await?;
    let da = poster(&anvil, "budget_per_hour = \"0.0001 eth\"\npatience = \"8s\"")?;
    let runway = da.runway().await?.expect("it has a key");
    assert_eq!((runway.balance_wei, runway.hours()), (before, None));
    let mut posts = 0;
    let error = loop {
        match da.submit(&[blob(posts)]).await {
            Ok(_) => posts += 1,
            Err(error) => break error,
        }
        assert!(posts < 50, "no budget holds it back");
    };
    assert!(error.is_temporary() && error.to_string().contains("budget_per_hour"), "{error}");
    assert!(posts > 0);
    let spent = before - anvil.balance().await?;
    assert!(spent <= U256::from(100_000 * GWEI), "{spent}");
    let runway = da.runway().await?.expect("it has a key");
    assert_eq!((U256::from(runway.spent_wei), runway.balance_wei), (spent, before - spent));
    assert!(runway.hours().is_some_and(|hours| hours > 1.0));
    // An hour of the parent chain later there is room again.
    let now = da.read(latest(&da).await?.height).await?.time_ms / 1000;
    anvil.mine_at(now + 3601).await?;
    da.submit(&[blob(posts)]).await?;
    Ok(())
}

#[tokio::test]
async fn entries_of_the_forced_lane_come_from_the_portals_events() -> eyre::Result<()> {
    let anvil = Anvil::start(&[])?;
    anvil.set_code(PORTAL, PORTAL_CODE).await?;
    let da = poster(&anvil, "")?;
    let entries = [full(3, 1), full(5, 33), full(7, 5000), Bytes::new()];
    let mut heights = Vec::new();
    for entry in &entries {
        da.force(entry.clone()).await?;
        heights.push(latest(&da).await?.height);
    }
    da.submit(&[blob(1)]).await?;
    let reader = open(&[anvil.url()], &format!("beacon = [{:?}]", anvil.url()))?;
    for (entry, height) in entries.iter().zip(heights) {
        assert_eq!(reader.read(height).await?.forced, std::slice::from_ref(entry));
    }
    assert_eq!(reader.read(latest(&da).await?.height).await?.forced, Vec::<Bytes>::new());
    assert!(matches!(da.force(full(9, 130_000)).await, Err(DaError::TooLarge { .. })));
    Ok(())
}
