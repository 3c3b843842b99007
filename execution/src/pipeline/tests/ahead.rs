//! Blocks that run while their parents are hashed come out as blocks that run after them.

use alloy_primitives::hex;
use causeway_chainspec::ChainSpec;
use causeway_chainspec::spec::GenesisAccount;

use super::*;

/// Keeps `BLOCKHASH(NUMBER - 1)` at slot NUMBER, and what the contract of EIP-2935 says of that
/// number at slot NUMBER + 1000.
const WITNESS: [u8; 52] = hex!(
    "600143034043 55 60014303 5f52 6020 5f 6020 5f 73 0000f90827f1c53a10cb7a02335b175320002935 5a fa
     50 5f51 43 6103e8 01 55 00"
);
const CONTRACT: Address = Address::repeat_byte(0xcc);

fn config_with_witness(dir: &Path) -> PipelineConfig {
    let mut spec = ChainSpec::clone(&spec("evm"));
    let account = GenesisAccount { code: WITNESS.into(), ..Default::default() };
    spec.genesis.alloc.insert(CONTRACT, account);
    PipelineConfig { spec: Arc::new(spec), ..config_of(dir, "evm") }
}

fn open_with_witness(dir: &TempDir) -> Pipeline {
    Pipeline::open(config_with_witness(dir.path())).unwrap().0
}

#[test]
fn a_parents_hash_may_come_late_and_nobody_sees_it_missing() {
    let dirs = [(); 3].map(|()| TempDir::new().unwrap());
    let [maker, one_by_one, ahead] = dirs.each_ref().map(open_with_witness);
    // In every other block somebody asks, in the rest nobody does.
    let mut blocks = Vec::new();
    for nonce in 0..12 {
        let to = if nonce % 2 == 0 { CONTRACT } else { BOB };
        let txs = [transfer_with(0, nonce, to, 0, 200_000), transfer(1, nonce, BOB, 1)];
        blocks.push(grow(&maker, &txs));
    }
    for block in &blocks {
        one_by_one.execute(block.plan.clone()).unwrap();
        one_by_one.commit(block.claim_hash, None, None).unwrap();
    }
    let plans = blocks.iter().map(|block| (block.plan.clone(), None)).collect();
    // One of them is known already.
    ahead.execute(blocks[0].plan.clone()).unwrap();
    let adopted = ahead.adopt(plans).unwrap();
    assert!(adopted.iter().zip(&blocks).all(|(one, other)| one.header == other.header));
    assert!(ids(&ahead) == ids(&maker) && ids(&one_by_one) == ids(&maker));
    let state = ahead.snapshot().state(12).unwrap().unwrap();
    for block in blocks.iter().step_by(2) {
        let number = U256::from(block.header.number);
        let parent: U256 = block.header.parent_hash.into();
        assert_eq!(state.slot(CONTRACT, number).unwrap(), parent, "BLOCKHASH in {number}");
        let ring = state.slot(CONTRACT, number + U256::from(1000)).unwrap();
        assert_eq!(ring, parent, "EIP-2935 in {number}");
    }
}

#[test]
fn a_plan_that_is_not_on_the_one_before_ends_the_rest() {
    let dirs = [(); 2].map(|()| TempDir::new().unwrap());
    let [maker, ahead] = dirs.each_ref().map(open_with_witness);
    let blocks: Vec<_> = (0..4).map(|nonce| grow(&maker, &[transfer(0, nonce, BOB, 1)])).collect();
    let mut plans: Vec<_> = blocks.iter().map(|block| (block.plan.clone(), None)).collect();
    // Its claim commits to another body.
    plans[2].0.candidates.clear();
    assert!(matches!(ahead.adopt(plans), Err(ExecutionError::Broken(_))));
    assert_eq!(ahead.snapshot().latest().number, 0, "none of them is committed");
    let plans = blocks.iter().map(|block| (block.plan.clone(), None)).collect();
    ahead.adopt(plans).unwrap();
    assert_eq!(ids(&ahead), ids(&maker));
}
