//! What `causeway import --genesis` reads: a genesis file, and blocks in RLP.

use std::sync::LazyLock;

use alloy_consensus::Header;
use alloy_primitives::{B256, U256};
use causeway_chainspec::ethereum::{EthereumChain, EthereumParts, RawBlock, check, check_uncles};

/// Proof of work until block 2, then stake with withdrawals, then blobs.
const GENESIS: &str = r#"{"config": {"chainId": 7, "homesteadBlock": 0, "eip150Block": 0,
"eip155Block": 0, "eip158Block": 0, "byzantiumBlock": 0, "constantinopleBlock": 0,
"petersburgBlock": 0, "istanbulBlock": 0, "berlinBlock": 0, "londonBlock": 1,
"terminalTotalDifficulty": 262144, "shanghaiTime": 20, "cancunTime": 30, "pragueTime": 40,
"osakaTime": 50, "bpo1Time": 60, "blobSchedule": {"bpo1": {"target": 10, "max": 15,
"baseFeeUpdateFraction": 8346193}}}, "nonce": "0x0", "timestamp": "0x0", "extraData": "0x",
"gasLimit": "0x1c9c380", "difficulty": "0x20000",
"mixHash": "0x0000000000000000000000000000000000000000000000000000000000000000",
"coinbase": "0x0000000000000000000000000000000000000000",
"alloc": {"00000000000000000000000000000000000000aa": {"balance": "0x5", "code": "0x00",
"storage": {"0x01": "0x02"}}}}"#;

static CHAIN: LazyLock<EthereumChain> =
    LazyLock::new(|| EthereumChain::parse(GENESIS).expect("our own genesis is one"));

/// A genesis file: what is read has an identity, and rules for any block.
pub(super) fn genesis(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(chain) = EthereumChain::parse(text) else { return };
    let header = chain.header(B256::ZERO);
    let hash = header.hash_slow();
    assert_eq!(chain.identity(hash), chain.identity(hash));
    for number in [0, 1, 15_000_000, u64::MAX - 1] {
        let later = Header { number, timestamp: number, ..header.clone() };
        let env = chain.schedule.env(&later);
        assert!(env.fork >= chain.schedule.fork(0, 0, false) && env.blob_base_fee > 0);
    }
    for time in chain.schedule.times() {
        chain.schedule.fork_hash(&header, hash, *time);
    }
}

pub(super) fn genesis_seeds() -> Vec<Vec<u8>> {
    vec![GENESIS.into(), GENESIS.replace("\"osakaTime\": 50, ", "").into()]
}

/// A block: decoded, and held against the rules.
pub(super) fn block(bytes: &[u8]) {
    let Ok(block) = RawBlock::decode(bytes) else { return };
    assert_eq!(block.size, bytes.len());
    let txs: usize = block.txs.iter().map(|tx| tx.len()).sum();
    assert!(txs <= bytes.len());
    let parent = CHAIN.header(B256::ZERO);
    let hash = parent.hash_slow();
    for total in [0x20000u64, 0x40000] {
        let parts = EthereumParts {
            total_difficulty: U256::from(total),
            blob_base_fee: 1,
            uncles: vec![],
            post_states: vec![],
            withdrawals: None,
        };
        let checked = check(&CHAIN.schedule, (&parent, &parts), hash, &block);
        assert!(checked.is_err() || block.header.parent_hash == hash);
    }
    let ancestors = [(B256::ZERO, block.header.clone(), vec![]), (hash, parent, vec![])];
    let checked = check_uncles(&CHAIN.schedule, &block.uncles, &ancestors);
    assert!(checked.is_ok() || !block.uncles.is_empty());
}

pub(super) fn block_seeds() -> Vec<Vec<u8>> {
    let parent = CHAIN.header(B256::ZERO);
    let child = Header {
        parent_hash: parent.hash_slow(),
        number: 1,
        timestamp: 10,
        gas_limit: parent.gas_limit * 2,
        difficulty: parent.difficulty,
        base_fee_per_gas: Some(1_000_000_000),
        ..Header::default()
    };
    let list = |payload: Vec<u8>| {
        let mut out = Vec::new();
        alloy_rlp::Header { list: true, payload_length: payload.len() }.encode(&mut out);
        [out, payload].concat()
    };
    let block = |parts: &[Vec<u8>]| list([&[alloy_rlp::encode(&child)], parts].concat().concat());
    let txs = list([vec![0xc1, 5], vec![0x82, 2, 0xc0]].concat());
    let uncles = list(alloy_rlp::encode(&child));
    let withdrawals = list(alloy_rlp::encode(alloy_eips::eip4895::Withdrawal::default()));
    let none = vec![0xc0];
    vec![
        block(&[none.clone(), none.clone()]),
        block(&[txs.clone(), uncles]),
        block(&[txs, none, withdrawals]),
    ]
}
