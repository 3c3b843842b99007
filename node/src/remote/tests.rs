//! A follower's DA layer: final blocks only, and no contradictions.

use std::sync::Arc;

use causeway_da::memory::{MemoryConfig, MemoryDa};
use causeway_da::{DaBackend, DaError};

use super::FinalDa;

fn layer(blocks: u64) -> (MemoryDa, FinalDa) {
    let da = MemoryDa::new(MemoryConfig { final_depth: 2, ..MemoryConfig::default() });
    for at in 1..=blocks {
        da.produce(at * 100);
    }
    let seen = FinalDa::new(Arc::new(da.clone()));
    (da, seen)
}

#[tokio::test]
async fn only_final_blocks_are_seen() {
    let (da, seen) = layer(5);
    let heads = seen.heads().await.unwrap();
    assert_eq!((heads.latest.height, heads.latest), (3, heads.finalized));
    assert_eq!(seen.read(3).await.unwrap(), da.read(3).await.unwrap());
    assert_eq!(seen.read(4).await, Err(DaError::NotYet { height: 4, latest: 3 }));
    da.produce(600);
    assert_eq!(seen.read(4).await.unwrap(), da.read(4).await.unwrap(), "without asking for heads");
    da.reorg(2, |_, _| false);
    assert_eq!(seen.heads().await.unwrap().latest.height, 4);
    let refused = seen.submit(&[vec![1].into()]).await;
    assert!(matches!(refused, Err(DaError::Refused(_))));
    assert!(matches!(seen.force(vec![1].into()).await, Err(DaError::Refused(_))));
}

#[tokio::test]
async fn finality_that_is_taken_back_is_damage() {
    let (da, seen) = layer(5);
    let before = seen.heads().await.unwrap().latest;
    da.reorg(3, |_, _| false);
    assert!(matches!(seen.heads().await, Err(DaError::Damaged(_))));
    assert!(matches!(seen.read(before.height).await, Err(DaError::Damaged(_))));
    assert_eq!(seen.read(2).await.unwrap().da.height, 2);
}

#[tokio::test]
async fn a_server_that_lags_changes_nothing() {
    let (da, seen) = layer(5);
    assert_eq!(seen.learn(da.read(3).await.unwrap().da).unwrap().height, 3);
    assert_eq!(seen.learn(da.read(1).await.unwrap().da).unwrap().height, 3);
    da.fail(1);
    assert!(matches!(seen.heads().await, Err(DaError::Unavailable(_))));
    assert_eq!(seen.heads().await.unwrap().latest.height, 3);
}
