//! Schedules, rules of headers, difficulty and uncles, by the numbers of their EIPs.

use alloy_eips::eip7840::BlobParams;
use alloy_primitives::{Address, address, b256};

use super::*;

fn genesis(config: &str) -> String {
    let holder = "0x00000000000000000000000000000000000000aa";
    format!(
        r#"{{"config": {{"chainId": 7, {config}}}, "nonce": "0x0", "timestamp": "0x0",
            "extraData": "0x", "gasLimit": "0x1c9c380", "difficulty": "0x20000",
            "mixHash": "0x{:064x}", "coinbase": "0x{:040x}",
            "alloc": {{"{holder}": {{"balance": "0x5", "code": "0x00", "storage": {{
                "0x{:064x}": "0x{:064x}", "0x{:064x}": "0x{:064x}"}}}}}}}}"#,
        0, 0, 1, 2, 3, 0
    )
}

const FORKS: &str = r#""homesteadBlock": 0, "eip150Block": 3, "eip155Block": 6, "eip158Block": 6,
    "byzantiumBlock": 9, "constantinopleBlock": 12, "petersburgBlock": 12, "istanbulBlock": 18,
    "muirGlacierBlock": 21, "berlinBlock": 24, "londonBlock": 27, "arrowGlacierBlock": 30,
    "grayGlacierBlock": 33, "terminalTotalDifficulty": 1000, "shanghaiTime": 390,
    "cancunTime": 420, "pragueTime": 450, "osakaTime": 480, "bpo1Time": 510,
    "blobSchedule": {"cancun": {"target": 3, "max": 6, "baseFeeUpdateFraction": 3338477},
        "prague": {"target": 6, "max": 9, "baseFeeUpdateFraction": 5007716},
        "osaka": {"target": 6, "max": 9, "baseFeeUpdateFraction": 5007716},
        "bpo1": {"target": 10, "max": 15, "baseFeeUpdateFraction": 8346193}}"#;

fn chain() -> EthereumChain {
    EthereumChain::parse(&genesis(FORKS)).unwrap()
}

#[test]
fn forks_come_by_block_and_then_by_time() {
    let schedule = chain().schedule;
    for (number, timestamp, merged, fork) in [
        (0, 0, false, Fork::Homestead),
        (3, 30, false, Fork::TangerineWhistle),
        (8, 80, false, Fork::SpuriousDragon),
        (11, 110, false, Fork::Byzantium),
        (12, 120, false, Fork::Petersburg),
        (26, 260, false, Fork::Berlin),
        (35, 350, false, Fork::London),
        (36, 360, true, Fork::Paris),
        (39, 390, true, Fork::Shanghai),
        (50, 479, true, Fork::Prague),
        (51, 480, true, Fork::Osaka),
        (90, 9000, true, Fork::Osaka),
    ] {
        assert_eq!(schedule.fork(number, timestamp, merged), fork, "block {number}");
    }
    let reward = |number| schedule.reward(number) / U256::from(10u64.pow(18));
    assert_eq!([reward(1), reward(9), reward(12)].map(|it| it.to::<u64>()), [5, 3, 2]);
    let blobs = |time| schedule.blobs(time).map(|it: BlobParams| it.max_blob_count);
    assert_eq!([419, 420, 450, 509, 510].map(blobs), [None, Some(6), Some(9), Some(9), Some(15)]);
    let last = schedule.forks().last();
    assert_eq!(last, Some((Fork::Osaka, Activation::Time(480))));
}

#[test]
fn the_fork_hash_counts_every_change() {
    // Mainnet's, from EIP-2124 and EIP-6122.
    let config = r#""homesteadBlock": 1150000, "daoForkBlock": 1920000, "eip150Block": 2463000,
        "eip155Block": 2675000, "eip158Block": 2675000, "byzantiumBlock": 4370000,
        "constantinopleBlock": 7280000, "petersburgBlock": 7280000, "istanbulBlock": 9069000,
        "muirGlacierBlock": 9200000, "berlinBlock": 12244000, "londonBlock": 12965000,
        "arrowGlacierBlock": 13773000, "grayGlacierBlock": 15050000,
        "terminalTotalDifficulty": 1, "shanghaiTime": 1681338455,
        "cancunTime": 1710338135"#;
    let schedule = EthereumChain::parse(&genesis(config)).unwrap().schedule;
    let hash = b256!("0xd4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3");
    let of = |time| schedule.fork_hash(&Header::default(), hash, time);
    assert_eq!(of(1668000000), [0xf0, 0xaf, 0xd0, 0xe3]);
    assert_eq!(of(1681338455), [0xdc, 0xe9, 0x6c, 0x2d]);
    assert_eq!(of(1710338135), [0x9f, 0x3d, 0x22, 0x54]);
    assert_eq!(schedule.times(), [1681338455, 1710338135]);
}

#[test]
fn what_is_not_known_is_refused() {
    for (config, named) in [
        (r#""clique": {"period": 5}"#, "clique"),
        (r#""daoForkBlock": 5, "daoForkSupport": true"#, "daoForkBlock"),
        (r#""amsterdamTime": 5"#, "Osaka"),
        (
            r#""cancunTime": 1, "blobSchedule": {"cancun": {"target": 3, "max": 6,
                "baseFeeUpdateFraction": 0}}"#,
            "blobSchedule",
        ),
        (r#""eip155Block": 1, "eip158Block": 2"#, "eip155Block"),
    ] {
        let error = EthereumChain::parse(&genesis(config)).unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
    }
    assert!(matches!(EthereumChain::parse("{}"), Err(GenesisError::Form(_))));
}

#[test]
fn identity_is_of_block_0_and_of_every_rule() {
    let hash = B256::repeat_byte(1);
    let of = |config: &str| EthereumChain::parse(&genesis(config)).unwrap().identity(hash);
    let base = of(FORKS);
    assert_eq!(base, of(FORKS));
    assert_ne!(base, chain().identity(B256::repeat_byte(2)));
    for (old, new) in [("480", "481"), ("\"max\": 15", "\"max\": 14"), ("1000", "1001")] {
        assert_ne!(base, of(&FORKS.replace(old, new)), "{old}");
    }
}

#[test]
fn block_0_holds_what_the_file_says() {
    let chain = chain();
    let holder: Address = address!("0x00000000000000000000000000000000000000aa");
    let diff = &chain.state.accounts[&holder];
    assert_eq!(diff.account.unwrap().balance, U256::from(5));
    // A slot of nothing is no slot.
    assert_eq!(diff.storage.len(), 1);
    let header = chain.header(B256::repeat_byte(9));
    assert_eq!((header.base_fee_per_gas, header.withdrawals_root), (None, None));
    assert_eq!(header.state_root, B256::repeat_byte(9));
}

/// A child that keeps every rule, without transactions.
fn child(chain: &EthereumChain, parent: &Header) -> RawBlock {
    let timestamp = parent.timestamp + 10;
    let header = Header {
        parent_hash: parent.hash_slow(),
        number: parent.number + 1,
        timestamp,
        gas_limit: parent.gas_limit,
        difficulty: difficulty::of_child(&chain.schedule, parent, timestamp),
        ..Header::default()
    };
    RawBlock { header, txs: vec![], uncles: vec![], withdrawals: None, size: 600 }
}

fn parts(total_difficulty: u64) -> EthereumParts {
    EthereumParts {
        total_difficulty: U256::from(total_difficulty),
        blob_base_fee: 1,
        uncles: vec![],
        post_states: vec![],
        withdrawals: None,
    }
}

#[test]
fn every_field_is_checked() {
    let chain = chain();
    let parent = chain.header(B256::ZERO);
    let hash = parent.hash_slow();
    let whole = child(&chain, &parent);
    let run = |block: &RawBlock| check(&chain.schedule, (&parent, &parts(0)), hash, block);
    assert_eq!(run(&whole), Ok(()));
    type Change = fn(&mut RawBlock);
    let changes: [(&str, Change); 14] = [
        ("number", |it| it.header.number = 2),
        ("parentHash", |it| it.header.parent_hash = B256::ZERO),
        ("timestamp", |it| it.header.timestamp = 0),
        ("extraData", |it| it.header.extra_data = vec![0; 33].into()),
        ("difficulty", |it| it.header.difficulty += U256::ONE),
        ("gasLimit", |it| it.header.gas_limit += it.header.gas_limit / 1024),
        ("gasUsed", |it| it.header.gas_used = it.header.gas_limit + 1),
        ("baseFeePerGas", |it| it.header.base_fee_per_gas = Some(7)),
        ("withdrawalsRoot", |it| it.header.withdrawals_root = Some(B256::ZERO)),
        ("withdrawalsRoot", |it| it.withdrawals = Some(vec![])),
        ("blobGasUsed", |it| it.header.blob_gas_used = Some(0)),
        ("parentBeaconBlockRoot", |it| it.header.parent_beacon_block_root = Some(B256::ZERO)),
        ("requestsHash", |it| it.header.requests_hash = Some(B256::ZERO)),
        ("sha3Uncles", |it| it.uncles = vec![Header::default()]),
    ];
    for (field, change) in changes {
        let mut block = whole.clone();
        change(&mut block);
        assert_eq!(run(&block).unwrap_err().field, field);
    }
    // Once the total difficulty is reached there is none any more.
    let merged = check(&chain.schedule, (&parent, &parts(1000)), hash, &whole);
    let text = merged.unwrap_err().to_string();
    assert!(text.starts_with("difficulty is") && text.ends_with("the rules ask for 0"), "{text}");
}

#[test]
fn difficulty_follows_time_and_the_bomb() {
    let schedule = chain().schedule;
    let at = |number, timestamp| Header {
        number,
        timestamp,
        difficulty: U256::from(1u64 << 30),
        ..Header::default()
    };
    let next =
        |parent: &Header, after| difficulty::of_child(&schedule, parent, parent.timestamp + after);
    let (base, step) = (U256::from(1u64 << 30), U256::from(1u64 << 19));
    // Homestead: one step up within 10 s, at most 99 down.
    assert_eq!(next(&at(0, 0), 9), base + step);
    assert_eq!(next(&at(0, 0), 10), base);
    assert_eq!(next(&at(0, 0), 30), base - step * U256::from(2));
    assert_eq!(next(&at(0, 0), 100_000), base - step * U256::from(99));
    // Byzantium: by 9 s, and one step more after a block with uncles.
    let with_uncles = Header { ommers_hash: B256::ZERO, ..at(9, 90) };
    assert_eq!(next(&at(9, 90), 9), base);
    assert_eq!(next(&with_uncles, 9), base + step);
    // The bomb, set back by 11.4 million blocks at last: its second period adds 1.
    let bombed = next(&at(11_400_000 + 200_000 - 1, 0), 9);
    assert_eq!(bombed, base + U256::ONE);
    let least = Header { difficulty: U256::from(131_072), ..at(0, 0) };
    assert_eq!(next(&least, 500), U256::from(131_072));
}

#[test]
fn uncles_are_recent_new_and_real() {
    let chain = chain();
    let mut blocks = vec![chain.header(B256::ZERO)];
    for _ in 0..9 {
        let next = child(&chain, blocks.last().unwrap()).header;
        blocks.push(next);
    }
    let uncle = |number: usize| {
        let header = child(&chain, &blocks[number - 1]).header;
        Header { extra_data: vec![1].into(), ..header }
    };
    let ancestors: Vec<_> =
        blocks.iter().rev().take(7).map(|it| (it.hash_slow(), it.clone(), vec![])).collect();
    let run = |uncles: &[Header]| check_uncles(&chain.schedule, uncles, &ancestors);
    // The next block is number 10: siblings of 4 to 9.
    assert_eq!(run(&[uncle(9), uncle(4)]), Ok(()));
    assert!(run(&[uncle(3)]).unwrap_err().contains("no recent ancestor"));
    assert!(run(&[uncle(9), uncle(9)]).unwrap_err().contains("named before"));
    assert!(run(&[uncle(9), uncle(8), uncle(7)]).unwrap_err().contains("at most 2"));
    assert!(run(&[blocks[8].clone()]).unwrap_err().contains("is an ancestor"));
    let easy = Header { difficulty: U256::ONE, ..uncle(9) };
    assert!(run(&[easy]).unwrap_err().contains("no child"));
    let child_of_parent = Header { extra_data: vec![1].into(), ..child(&chain, &blocks[9]).header };
    assert!(run(&[child_of_parent]).is_err());
}

#[test]
fn parts_survive_with_and_without_withdrawals() {
    for withdrawals in [None, Some(vec![]), Some(vec![Withdrawal::default()])] {
        let whole = EthereumParts {
            uncles: vec![Header::default()],
            post_states: vec![B256::ZERO],
            withdrawals,
            ..parts(7)
        };
        assert_eq!(alloy_rlp::decode_exact::<EthereumParts>(alloy_rlp::encode(&whole)), Ok(whole));
    }
}
