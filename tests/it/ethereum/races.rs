//! Reorgs, restarts and a second poster: no range lands twice, and none is lost.

use std::time::Duration;

use causeway_da::{DaBackend, DaError};
use causeway_tests::anvil::Anvil;

use super::{all, blob, latest, pooled, poster, submit};

fn is_derive_first(error: &DaError) -> bool {
    error.is_temporary() && error.to_string().contains("derived first")
}

#[tokio::test]
async fn what_a_reorg_puts_out_is_posted_again_as_it_was() -> eyre::Result<()> {
    for depth in [1, 3] {
        let anvil = Anvil::start(&[])?;
        let da = poster(&anvil, "")?;
        let start = latest(&da).await?;
        let at = da.submit_after(&[blob(1)], Some(start)).await?;
        let transactions = async |height: u64| {
            let height = format!("{height:#x}");
            let block =
                anvil.call("eth_getBlockByNumber", serde_json::json!([height, false])).await?;
            eyre::Ok(block["transactions"].clone())
        };
        let before = transactions(at.height).await?;
        for _ in 1..depth {
            anvil.mine().await?;
        }
        anvil.reorg(depth).await?;
        let now = da.read(at.height).await?;
        assert!(now.da.hash != at.hash && now.blobs.is_empty(), "{depth}");
        // The old block is not on the chain any more: what was derived from it is no ground.
        let error = da.submit_after(&[blob(2)], Some(at)).await.unwrap_err();
        assert!(error.is_temporary(), "{error}");
        let derived = latest(&da).await?;
        let again = da.submit_after(&[blob(1)], Some(derived)).await?;
        assert_eq!(da.read(again.height).await?.blobs, [blob(1)]);
        assert_eq!(transactions(again.height).await?, before, "the same transaction");
        assert_eq!(all(&da).await?, [blob(1)]);
    }
    Ok(())
}

#[tokio::test]
async fn posts_follow_each_other_without_waiting_for_derivation() -> eyre::Result<()> {
    let anvil = Anvil::start(&[])?;
    let da = poster(&anvil, "")?;
    let derived = latest(&da).await?;
    for byte in 1..4 {
        da.submit_after(&[blob(byte)], Some(derived)).await?;
    }
    assert_eq!(all(&da).await?, [blob(1), blob(2), blob(3)]);
    // Another process did not post them: it has to derive them first.
    let other = poster(&anvil, "")?;
    let error = other.submit_after(&[blob(4)], Some(derived)).await.unwrap_err();
    assert!(is_derive_first(&error), "{error}");
    other.submit_after(&[blob(4)], Some(latest(&da).await?)).await?;
    let error = da.submit_after(&[blob(5)], Some(derived)).await.unwrap_err();
    assert!(is_derive_first(&error), "{error}");
    Ok(())
}

/// The process dies after it sent a transaction, and before it is in a block.
#[tokio::test]
async fn after_a_restart_what_waits_is_replaced_or_derived_first() -> eyre::Result<()> {
    for lands in [false, true] {
        let anvil = Anvil::start(&["--no-mining"])?;
        let first = poster(&anvil, "")?;
        let derived = latest(&first).await?;
        let submitted = submit(&first, blob(1), Some(derived));
        let old = pooled(&anvil, None).await?;
        submitted.abort();
        assert!(submitted.await.is_err_and(|error| error.is_cancelled()));
        drop(first);
        if lands {
            anvil.mine().await?;
        }
        // What the new process posts covers the same range, and more.
        let second = poster(&anvil, "")?;
        let submitted = submit(&second, blob(2), Some(derived));
        if lands {
            let error = submitted.await?.unwrap_err();
            assert!(is_derive_first(&error), "{error}");
            assert_eq!(all(&second).await?, [blob(1)]);
        } else {
            let new = pooled(&anvil, Some(Anvil::hash(&old)?)).await?;
            assert_eq!(new["nonce"], old["nonce"]);
            anvil.mine().await?;
            submitted.await??;
            assert_eq!(all(&second).await?, [blob(2)], "one of both");
        }
    }
    Ok(())
}

#[tokio::test]
async fn of_two_posters_with_one_view_one_lands() -> eyre::Result<()> {
    for mining in [true, false] {
        let anvil = Anvil::start(if mining { &[] } else { &["--no-mining"] })?;
        let posters = [poster(&anvil, "")?, poster(&anvil, "")?];
        let mut derived = latest(&posters[0]).await?;
        for round in 0..3u8 {
            let running = [0, 1].map(|who| {
                let number = u8::try_from(who).unwrap_or_default();
                submit(&posters[who], blob(1 + 2 * round + number), Some(derived))
            });
            if !mining {
                pooled(&anvil, None).await?;
                tokio::time::sleep(Duration::from_millis(300)).await;
                anvil.mine().await?;
            }
            let [one, other] = running;
            let results = [one.await?, other.await?];
            let landed = results.iter().filter(|result| result.is_ok()).count();
            assert_eq!(landed, 1, "{results:?}");
            for error in results.iter().filter_map(|result| result.as_ref().err()) {
                assert!(error.is_temporary(), "{error}");
            }
            derived = latest(&posters[0]).await?;
            assert_eq!(all(&posters[0]).await?.len(), usize::from(round) + 1);
        }
    }
    Ok(())
}

/// A new payload takes the place of one that waits: never both.
#[tokio::test]
async fn a_change_of_mind_replaces_what_waits() -> eyre::Result<()> {
    let anvil = Anvil::start(&["--no-mining"])?;
    let da = poster(&anvil, "patience = \"2s\"")?;
    let derived = latest(&da).await?;
    let error = da.submit_after(&[blob(1)], Some(derived)).await.unwrap_err();
    assert!(error.is_temporary() && error.to_string().contains("given back"), "{error}");
    let old = pooled(&anvil, None).await?;
    let submitted = submit(&da, blob(2), Some(derived));
    pooled(&anvil, Some(Anvil::hash(&old)?)).await?;
    anvil.mine().await?;
    submitted.await??;
    assert_eq!(all(&da).await?, [blob(2)]);
    Ok(())
}
