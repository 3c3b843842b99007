//! Chains made by hand: rewards, withdrawals, refusals, restarts and power cuts.

use std::collections::BTreeMap;

use alloy_consensus::constants::EMPTY_WITHDRAWALS;
use alloy_consensus::proofs::{calculate_ommers_root, calculate_withdrawals_root};
use alloy_consensus::{EMPTY_OMMER_ROOT_HASH, EMPTY_ROOT_HASH, Header};
use alloy_eips::eip1559::BaseFeeParams;
use alloy_eips::eip4895::Withdrawal;
use alloy_primitives::{Address, Bytes, Log, U256, hex};
use causeway_chainspec::{Account, AccountDiff, StateDiff};

use super::*;
use crate::disk::Faulty;

const HOLDER: Address = Address::repeat_byte(0xaa);
const MINER: Address = Address::repeat_byte(0xbb);
const UNCLE: Address = Address::repeat_byte(0xcc);
const ETHER: u64 = 1_000_000_000_000_000_000;

fn genesis(config: &str) -> EthereumChain {
    let text = format!(
        r#"{{"config": {{"chainId": 7, {config}}}, "nonce": "0x0", "timestamp": "0x0",
            "extraData": "0x", "gasLimit": "0x1c9c380", "difficulty": "0x20000",
            "mixHash": "{:?}", "coinbase": "{:?}",
            "alloc": {{"{HOLDER:?}": {{"balance": "0x5"}}}}}}"#,
        B256::ZERO,
        Address::ZERO
    );
    EthereumChain::parse(&text).unwrap()
}

/// Proof of work with the rewards of Byzantium.
fn work() -> EthereumChain {
    genesis(
        r#""homesteadBlock": 0, "eip150Block": 0, "eip155Block": 0, "eip158Block": 0,
        "byzantiumBlock": 0"#,
    )
}

/// Proof of stake from block 1 on, with withdrawals.
fn stake() -> EthereumChain {
    genesis(
        r#""homesteadBlock": 0, "eip150Block": 0, "eip155Block": 0, "eip158Block": 0,
        "byzantiumBlock": 0, "constantinopleBlock": 0, "petersburgBlock": 0, "istanbulBlock": 0,
        "berlinBlock": 0, "londonBlock": 0, "terminalTotalDifficulty": 0, "shanghaiTime": 0"#,
    )
}

fn root(balances: &[(Address, u128)]) -> B256 {
    let account = |wei: u128| AccountDiff {
        account: Some(Account { balance: U256::from(wei), ..Account::default() }),
        ..AccountDiff::default()
    };
    let accounts: BTreeMap<_, _> =
        balances.iter().map(|(address, wei)| (*address, account(*wei))).collect();
    trie::state_root(&Empty, &StateDiff { accounts, ..StateDiff::default() }).unwrap().0
}

/// A block without transactions, 10 s after its parent.
fn child(parent: &Header, merged: bool, state_root: B256) -> RawBlock {
    let header = Header {
        parent_hash: parent.hash_slow(),
        beneficiary: MINER,
        state_root,
        number: parent.number + 1,
        timestamp: parent.timestamp + 10,
        gas_limit: parent.gas_limit,
        difficulty: if merged { U256::ZERO } else { parent.difficulty },
        base_fee_per_gas: merged
            .then(|| parent.next_block_base_fee(BaseFeeParams::ethereum()))
            .flatten(),
        withdrawals_root: merged.then_some(EMPTY_WITHDRAWALS),
        ..Header::default()
    };
    let withdrawals = merged.then(Vec::new);
    RawBlock { header, txs: vec![], uncles: vec![], withdrawals, size: 600 }
}

fn open(folder: &tempfile::TempDir, chain: &EthereumChain) -> Result<Chain, ExecutionError> {
    Chain::open(folder.path().to_owned(), chain, 128, 16 << 20)
}

fn head(chain: &Chain) -> Header {
    let snapshot = chain.snapshot();
    snapshot.header(snapshot.latest().number).unwrap().unwrap()
}

/// Three blocks of work, the last with an uncle.
fn mined(genesis: &Header) -> Vec<RawBlock> {
    let three = 3 * u128::from(ETHER);
    let after = |blocks: u128| vec![(HOLDER, 5), (MINER, three * blocks)];
    let first = child(genesis, false, root(&after(1)));
    let second = child(&first.header, false, root(&after(2)));
    let uncle = Header { beneficiary: UNCLE, ..child(&first.header, false, B256::ZERO).header };
    // The uncle is one block older: 7/8 of a reward, and 1/32 more for who names it.
    let mut balances = after(3);
    balances[1].1 += three / 32;
    balances.push((UNCLE, three / 8 * 7));
    let mut third = child(&second.header, false, root(&balances));
    third.header.ommers_hash = calculate_ommers_root(std::slice::from_ref(&uncle));
    third.uncles = vec![uncle];
    vec![first, second, third]
}

#[test]
fn miners_and_uncles_are_rewarded_and_blocks_come_once() {
    let folder = tempfile::tempdir().unwrap();
    let chain = open(&folder, &work()).unwrap();
    let blocks = mined(&head(&chain));
    assert_eq!(chain.import(&blocks[..2]).unwrap(), Imported { new: 2, known: 0 });
    assert_eq!(chain.import(&blocks).unwrap(), Imported { new: 1, known: 2 });
    let snapshot = chain.snapshot();
    let state = snapshot.state(1).unwrap().unwrap();
    assert_eq!(state.account(MINER).unwrap().unwrap().balance, U256::from(3 * ETHER));
    let third = snapshot.block(3).unwrap().unwrap();
    let parts = third.ethereum.as_deref().unwrap();
    assert_eq!((&parts.uncles, &parts.withdrawals), (&blocks[2].uncles, &None));
    assert_eq!(parts.total_difficulty, U256::from(4 * 0x20000));
    drop((snapshot, state, chain));

    let chain = open(&folder, &work()).unwrap();
    assert_eq!(chain.snapshot().latest().hash, blocks[2].header.hash_slow());
    assert_eq!(chain.import(&blocks).unwrap(), Imported { new: 0, known: 3 });
    chain.store.verify().unwrap();
    drop(chain);
    // The same block 0 under other rules is another chain.
    let other = genesis(r#""homesteadBlock": 0, "byzantiumBlock": 9"#);
    assert!(matches!(open(&folder, &other), Err(ExecutionError::Datadir(_))));
}

#[test]
fn a_wrong_block_is_named_and_those_before_it_stay() {
    let folder = tempfile::tempdir().unwrap();
    let chain = open(&folder, &work()).unwrap();
    let mut blocks = mined(&head(&chain));
    let right = blocks[1].header.state_root;
    blocks[1].header.state_root = B256::repeat_byte(9);
    let wrong = blocks[1].header.state_root;
    let error = chain.import(&blocks).unwrap_err().to_string();
    assert_eq!(error, format!("block 2: stateRoot is {wrong}, execution gives {right}"));
    assert_eq!(chain.snapshot().latest().number, 1);
    for (change, told) in [
        ((|it| it.header.gas_used = 5) as fn(&mut RawBlock), "gasUsed is 5, execution gives 0"),
        (|it| it.header.receipts_root = B256::ZERO, "receiptsRoot is 0x00"),
        (|it| it.header.logs_bloom.0[0] = 1, "logsBloom is 0x01"),
        (|it| it.header.transactions_root = B256::ZERO, "transactionsRoot is 0x00"),
        (|it| it.header.number = 9, "does not follow block 1"),
        (|it| it.header.number = 1, "in the file and"),
        (|it| it.txs = vec![Bytes::from_static(&[5])], "transaction 0: "),
    ] {
        let mut block = mined(&chain.snapshot().header(0).unwrap().unwrap()).remove(1);
        change(&mut block);
        let error = chain.import(&[block]).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
    assert_eq!(chain.snapshot().latest().number, 1);
}

#[test]
fn withdrawals_are_paid_and_nothing_makes_no_account() {
    let folder = tempfile::tempdir().unwrap();
    let chain = open(&folder, &stake()).unwrap();
    let withdrawals = vec![
        Withdrawal { index: 0, validator_index: 1, address: HOLDER, amount: 3 },
        Withdrawal { index: 1, validator_index: 2, address: UNCLE, amount: 0 },
    ];
    let mut block = child(&head(&chain), true, root(&[(HOLDER, 3_000_000_005)]));
    block.header.withdrawals_root = Some(calculate_withdrawals_root(&withdrawals));
    block.withdrawals = Some(withdrawals.clone());
    let rlp = {
        let mut fields = alloy_rlp::encode(&block.header);
        fields.extend([0xc0, 0xc0]);
        fields.extend(alloy_rlp::encode(&withdrawals));
        let mut out = Vec::new();
        alloy_rlp::Header { list: true, payload_length: fields.len() }.encode(&mut out);
        out.extend(fields);
        out
    };
    let decoded = RawBlock::decode(&rlp).unwrap();
    assert_eq!(RawBlock { size: block.size, ..decoded.clone() }, block);
    for end in 0..rlp.len() {
        assert!(RawBlock::decode(&rlp[..end]).is_err());
    }
    chain.import(&[decoded]).unwrap();
    let block = chain.snapshot().block(1).unwrap().unwrap();
    assert_eq!(block.ethereum.as_ref().unwrap().withdrawals, Some(withdrawals));
    assert_eq!(block.header.transactions_root, EMPTY_ROOT_HASH);
    assert_eq!(block.header.ommers_hash, EMPTY_OMMER_ROOT_HASH);
    let next = chain.snapshot().next_env(0).unwrap();
    assert_eq!((next.number, next.time_ms, next.base_fee), (2, 11_000, 765_625_000));
}

#[test]
fn deposits_are_read_from_logs_laid_out_as_they_must_be() {
    let contract = Address::repeat_byte(0xdd);
    let topic = hex!("649bbc62d0e31342afea4e5cd82d4049e7e1ee912fc0889aa790803be39038c5");
    let word = |value: u64| U256::from(value).to_be_bytes::<32>();
    let mut data = Vec::new();
    for offset in [160u64, 256, 320, 384, 512] {
        data.extend(word(offset));
    }
    for (length, padded, byte) in [(48, 64, 1), (32, 32, 2), (8, 32, 3), (96, 96, 4), (8, 32, 5)] {
        data.extend(word(length));
        let mut part = vec![byte; length as usize];
        part.resize(padded, 0);
        data.extend(part);
    }
    let log = |address, data: Vec<u8>| Log::new_unchecked(address, vec![topic.into()], data.into());
    let read = |logs: &[Log]| requests::deposits(contract, logs.iter());
    let deposit = [vec![1; 48], vec![2; 32], vec![3; 8], vec![4; 96], vec![5; 8]].concat();
    let twice =
        [log(contract, data.clone()), log(HOLDER, data.clone()), log(contract, data.clone())];
    assert_eq!(read(&twice), Ok([deposit.clone(), deposit].concat()));
    let other = Log::new_unchecked(contract, vec![B256::ZERO], data.clone().into());
    assert_eq!(read(&[other]), Ok(vec![]));
    for (at, byte) in [(31, 161), (191, 47), (0, 1)] {
        let mut bad = data.clone();
        bad[at] = byte;
        assert!(read(&[log(contract, bad)]).is_err(), "byte {at}");
    }
    assert!(read(&[log(contract, data[..575].to_vec())]).is_err());
}

#[test]
fn what_was_reported_survives_a_power_cut_and_the_rest_comes_again() {
    let disk = Faulty::new(0);
    disk.record();
    let open = |disk: &Faulty| Chain::open(disk.folder("eth"), &work(), 128, 1 << 20).unwrap();
    let chain = open(&disk);
    let blocks = mined(&head(&chain));
    let mut reported = Vec::new();
    for block in &blocks {
        chain.import(std::slice::from_ref(block)).unwrap();
        reported.push(disk.ops());
    }
    drop(chain);
    let mut kept = [0; 4];
    for cut in 0..=disk.ops() {
        let left = disk.cut_at(cut, cut).unwrap();
        let chain = open(&left);
        let told = reported.iter().filter(|ops| **ops < cut).count() as u64;
        let latest = chain.snapshot().latest().number;
        assert!(latest >= told, "cut {cut}: block {latest}, told {told}");
        kept[latest as usize] += 1;
        chain.import(&blocks).unwrap();
        assert_eq!(chain.snapshot().latest().hash, blocks[2].header.hash_slow());
    }
    assert!(kept.iter().all(|count| *count > 0), "{kept:?}");
}

#[test]
fn an_archive_proves_no_further_back_than_its_window() {
    let folder = tempfile::tempdir().unwrap();
    let chain = open(&folder, &work()).unwrap();
    let mut parent = head(&chain);
    let mut blocks = Vec::new();
    for number in 1..=140 {
        let balances = [(HOLDER, 5), (MINER, 3 * u128::from(ETHER) * number)];
        let block = child(&parent, false, root(&balances));
        parent = block.header.clone();
        blocks.push(block);
    }
    chain.import(&blocks).unwrap();
    let snapshot = chain.snapshot();
    let oldest = snapshot.oldest_trie();
    assert!(oldest > 1 && oldest < 140, "{oldest}");
    assert_eq!(snapshot.oldest_state().unwrap(), 0);
    assert!(snapshot.state(oldest - 1).unwrap().is_some());
    assert!(snapshot.prove(oldest, MINER, &[]).unwrap().is_some());
    assert!(snapshot.prove(oldest - 1, MINER, &[]).unwrap().is_none());
}
