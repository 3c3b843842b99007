//! Builders, followers and restarted nodes agree, whatever happens to them.

use super::*;

/// What happens to a chain in the property test.
#[derive(Debug, Clone)]
enum Step {
    /// Transfers (sender, skip of the nonce, recipient) and the time since the last block, ms.
    Block(Vec<(u8, u64, u8)>, u64),
    Unwind(u64),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let tx = (0u8..5, prop_oneof![4 => Just(0u64), 1 => 1u64..3], 0u8..8);
    prop_oneof![
        6 => (proptest::collection::vec(tx, 0..6), 1u64..2_000).prop_map(|(t, w)| Step::Block(t, w)),
        1 => (1u64..5).prop_map(Step::Unwind),
        1 => Just(Step::Restart),
    ]
}

fn txs_of(pipeline: &Pipeline, wanted: &[(u8, u64, u8)]) -> Vec<Arc<Tx>> {
    let snapshot = pipeline.snapshot();
    let state = snapshot.state(snapshot.latest().number).unwrap().unwrap();
    let mut used = [0u64; 5];
    let mut txs = Vec::new();
    for (from, gap, to) in wanted {
        let nonce = state.account(key(*from).address()).unwrap().unwrap().nonce;
        let seen = &mut used[usize::from(*from)];
        txs.push(transfer(*from, nonce + *seen + gap, key(*to).address(), 7));
        *seen += u64::from(*gap == 0);
    }
    txs
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 40, ..Default::default() })]
    #[test]
    fn builders_followers_and_restarted_nodes_agree(
        vm in prop_oneof![Just("ledger"), Just("evm")],
        steps in proptest::collection::vec(step(), 1..20),
    ) {
        let (one, two) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let open = |dir: &TempDir| Pipeline::open(config_of(dir.path(), vm)).unwrap().0;
        let mut builder = open(&one);
        for step in &steps {
            match step {
                Step::Block(wanted, wait) => {
                    let parent = newest(&builder);
                    let claim = claim_on(&parent, parent.plan.claim.time_ms + wait);
                    let draft = plan(claim, &txs_of(&builder, wanted), vec![]);
                    let built = builder.build(draft, &Stop::never()).unwrap();
                    prop_assert!(built.quarantined.is_empty());
                    builder.commit(built.block.claim_hash, None, None).unwrap();
                }
                Step::Unwind(count) => {
                    let latest = builder.snapshot().latest().number;
                    builder.unwind(latest.saturating_sub(*count)).unwrap();
                }
                Step::Restart => {
                    drop(builder);
                    builder = open(&one);
                }
            }
        }
        // A fresh follower gets nothing but claims and bodies.
        let follower = open(&two);
        let snapshot = builder.snapshot();
        for number in 1..=snapshot.latest().number {
            let block = snapshot.block(number).unwrap().unwrap();
            let (claim, body) = (block.plan.claim.clone(), block.plan.body.clone());
            let fresh = BlockPlan::new(claim, body, vec![], &|_| None);
            let seen = follower.execute(fresh).unwrap();
            prop_assert_eq!(seen.hash, block.hash);
            follower.commit(seen.claim_hash, None, None).unwrap();
        }
        prop_assert_eq!(ids(&follower), ids(&builder));
        let dropped = follower.unwind(snapshot.latest().number / 2).unwrap();
        for block in dropped {
            let again = follower.execute(block.plan.clone()).unwrap();
            follower.commit(again.claim_hash, None, None).unwrap();
        }
        prop_assert_eq!(ids(&follower), ids(&builder));
        builder.close().unwrap();
        prop_assert_eq!(ids(&open(&one)), ids(&follower));
    }
}
