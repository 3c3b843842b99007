//! A second sequencer with the first one's keys: its block gets to DA before the one everybody saw.

use std::time::Duration;

use alloy_primitives::{B256, Bytes, U256};
use alloy_rlp::Decodable;
use alloy_signer::SignerSync;
use causeway_chainspec::{BlockBody, ChainSpec, Claim, Seal, SealTuple, Span, SpanBlock, Tip};
use causeway_da::codec::{self, EncodeOptions};
use causeway_execution::genesis;
use causeway_node::node::FeedBlock;
use eyre::{ContextCompat, WrapErr};
use jsonrpsee::core::client::{ClientT, Subscription, SubscriptionClientT};
use jsonrpsee::rpc_params;
use jsonrpsee::ws_client::WsClientBuilder;

use crate::keys;

/// Longest wait for a block of the feed.
const PATIENCE: Duration = Duration::from_secs(5);

/// Follows the feed of a sequencer up to its newest block, seals an empty one on top of it, and
/// posts all of them. Whether DA takes it before the sequencer's own is a race.
pub async fn overtake(spec: &ChainSpec, ws: &str, da: &str) -> eyre::Result<()> {
    let client = WsClientBuilder::default().request_timeout(PATIENCE).build(ws).await?;
    let number = async |tag: &str| -> eyre::Result<u64> {
        let block: serde_json::Value =
            client.request("eth_getBlockByNumber", rpc_params![tag, false]).await?;
        Ok(serde_json::from_value::<U256>(block["number"].clone())?.to())
    };
    let safe = number("safe").await?;
    // The feed has no genesis.
    let from = safe.max(1);
    let mut below = (safe == 0).then(|| Tip::of(&genesis::plan(spec).claim));
    let mut feed: Subscription<Bytes> = client
        .subscribe(
            "rollup_subscribeFeed",
            rpc_params![spec.identity(), from],
            "rollup_unsubscribeFeed",
        )
        .await?;
    let latest = number("latest").await?;
    let mut blocks = Vec::new();
    let parent = loop {
        let bytes = tokio::time::timeout(PATIENCE, feed.next()).await?;
        let bytes = bytes.wrap_err("the feed ended")??;
        let fed = FeedBlock::decode(&mut bytes.as_ref()).wrap_err("no block")?;
        // What is posted stands on the newest safe block.
        match below {
            Some(_) => blocks.push(SpanBlock { claim: fed.claim.clone(), body: fed.body }),
            None => below = Some(Tip::of(&fed.claim)),
        }
        if fed.claim.number >= latest {
            break fed.claim;
        }
    };
    blocks.push(rival(&parent));
    let seal = seal(spec, &blocks[blocks.len() - 1].claim);
    let (identity, rules_hash) = (spec.identity(), spec.rules_hash(parent.time_ms + 1));
    let below = below.wrap_err("the feed gave no block")?;
    let span = Span { identity, rules_hash, parent: below, blocks, seal, last_header: B256::ZERO };
    let options = EncodeOptions::default();
    let blobs = codec::encode(&span, &spec.vm, &keys::poster(), &options, 128 << 10)?;
    let settings = [("url".to_owned(), da.into())].into_iter().collect();
    causeway_da::open(spec, &settings)?.submit(&blobs).await?;
    Ok(())
}

/// An empty block on a claim, a millisecond after it.
fn rival(parent: &Claim) -> SpanBlock {
    let body = BlockBody::default();
    let claim = Claim {
        number: parent.number + 1,
        parent: parent.hash(),
        time_ms: parent.time_ms + 1,
        anchors: Vec::new(),
        inbound_root: body.inbound_root(),
        candidates_root: body.candidates_root(),
        takeover: None,
        ..parent.clone()
    };
    SpanBlock { claim, body }
}

fn seal(spec: &ChainSpec, claim: &Claim) -> Seal {
    let tuple = SealTuple {
        identity: spec.identity(),
        term: claim.term,
        view: 0,
        number: claim.number,
        claim: claim.hash(),
    };
    let signature = keys::sequencer().sign_hash_sync(&tuple.digest()).expect("a local key signs");
    Seal { view: 0, proof: Bytes::copy_from_slice(&signature.as_bytes()) }
}
