//! The address index against the blocks themselves, and what turning it on and off does.

use std::collections::BTreeSet;

use alloy_consensus::Transaction;

use super::*;
use crate::store::AddressIndex;

/// Block number and index in the block.
type Place = (u64, usize);

fn open(disk: &Faulty, address_index: Option<bool>) -> Result<Store, ExecutionError> {
    Store::open(disk.folder("store"), StoreConfig { address_index, ..config() })
}

type Places = BTreeMap<Address, BTreeSet<Place>>;

/// Every place of every address, and of every sender and nonce, by reading all blocks.
fn expected(chain: &Chain) -> (Places, BTreeMap<(Address, u64), Place>) {
    let (mut places, mut sent) = (BTreeMap::<_, BTreeSet<_>>::new(), BTreeMap::new());
    for executed in &chain.blocks {
        let block = &executed.block;
        for (index, (tx, receipt)) in block.txs.iter().zip(&block.receipts).enumerate() {
            let place = (block.header.number, index);
            let mut about: BTreeSet<Address> =
                tx.envelope.to().into_iter().chain(receipt.contract_address).collect();
            about.insert(tx.sender);
            for log in &receipt.logs {
                about.insert(log.address);
            }
            for address in about {
                places.entry(address).or_default().insert(place);
            }
            let nonce = if tx.is_deposit() { receipt.deposit_nonce } else { tx.envelope.nonce() };
            sent.entry((tx.sender, nonce)).or_insert(place);
        }
    }
    (places, sent)
}

fn created(chain: &Chain) -> BTreeMap<Address, u64> {
    let mut created = BTreeMap::new();
    for executed in &chain.blocks {
        for (address, diff) in &executed.diff.accounts {
            if diff.account.is_some_and(|account| account.bytecode_hash.is_some()) {
                created.entry(*address).or_insert(executed.block.header.number);
            }
        }
    }
    created
}

#[test]
fn a_search_finds_what_reading_all_blocks_finds() {
    let store = memory();
    let mut chain = Chain::default();
    chain.grow(&store, 60, 7, 61);
    store.commit(&Batch { unwind_to: Some(40), ..Default::default() }).unwrap();
    chain.truncate(40);
    chain.grow(&store, 25, 4, 62);
    store.verify().unwrap();
    let view = store.view().unwrap();
    assert!(view.has_address_index());
    let (places, sent) = expected(&chain);
    assert!(places.values().any(|places| places.len() > 60), "many of one");
    for (address, places) in &places {
        for at in [0, 1, 9, 30, 64, 65, u64::MAX] {
            for most in [1, 3, 25, 1000] {
                for search in [Search::Below(at), Search::Above(at)] {
                    let mut all: Vec<_> =
                        places.iter().copied().filter(|it| search.covers(it.0)).collect();
                    search.sort(&mut all);
                    // The least that is at least so many and cuts no block.
                    let cut = all.get(most - 1).map_or(all.len(), |last| {
                        all.iter().rposition(|place| place.0 == last.0).unwrap() + 1
                    });
                    let found = view.appearances(*address, search, most).unwrap();
                    assert_eq!(found, all[..cut], "{address} {search:?} {most}");
                }
            }
        }
    }
    for ((sender, nonce), place) in &sent {
        assert_eq!(view.sent(*sender, *nonce).unwrap(), Some(*place));
    }
    assert_eq!(view.sent(Address::repeat_byte(0xee), 0).unwrap(), None);
    let created = created(&chain);
    for index in 0..ACCOUNTS {
        let address = address(index);
        assert_eq!(view.created(address).unwrap(), created.get(&address).copied());
    }
}

#[test]
fn parties_of_transfers_are_found_and_the_zero_address_is_not() {
    let topic = |address: Address| address.into_word();
    let (from, to) = (Address::repeat_byte(1), Address::repeat_byte(2));
    let token = Address::repeat_byte(3);
    let transfer = keccak256("Transfer(address,address,uint256)");
    let log = |topics: Vec<B256>| Log::new_unchecked(token, topics, Bytes::new());
    let receipt = |logs| Receipt {
        success: true,
        gas_used: 0,
        cumulative_gas_used: 0,
        logs,
        deposit_nonce: 0,
        contract_address: None,
    };
    let tx = signed(1, 7);
    let recipient = address(7);
    let about = |logs| {
        let found = appearing(&tx, &receipt(logs));
        assert!(found.windows(2).all(|pair| pair[0] < pair[1]));
        found.into_iter().collect::<BTreeSet<_>>()
    };
    let fungible = log(vec![transfer, topic(from), topic(to)]);
    assert_eq!(about(vec![fungible]), [recipient, token, from, to].into());
    let id = B256::with_last_byte(9);
    let minted = log(vec![transfer, topic(Address::ZERO), topic(to), id]);
    assert_eq!(about(vec![minted]), [recipient, token, to].into());
    let other = log(vec![B256::repeat_byte(1), topic(from), topic(to)]);
    assert_eq!(about(vec![other]), [recipient, token].into());
    // Its sender is found by nonce.
    let own = log(vec![transfer, topic(tx.sender), topic(tx.sender)]);
    assert_eq!(about(vec![own]), [recipient, token].into());
}

#[test]
fn an_index_that_is_turned_off_is_gone_for_good() {
    let disk = Faulty::new(0);
    let mut chain = Chain::default();
    chain.grow(&open(&disk, None).unwrap(), 10, 5, 63);
    let rows = |store: &Store| {
        let stats = store.stats().unwrap();
        let of = |name: &&TableStats| ["sent", "seen", "created"].contains(&name.name);
        stats.iter().filter(of).map(|table| table.rows).sum::<u64>()
    };
    let store = open(&disk, Some(true)).unwrap();
    assert!(rows(&store) > 30);
    drop(store);
    let store = open(&disk, Some(false)).unwrap();
    assert!(!store.view().unwrap().has_address_index());
    assert_eq!(rows(&store), 0);
    chain.grow(&store, 5, 5, 64);
    assert_eq!(rows(&store), 0);
    store.verify().unwrap();
    drop(store);
    match open(&disk, Some(true)) {
        Err(ExecutionError::Datadir(text)) => assert!(text.contains("move the datadir away")),
        other => panic!("{other:?}"),
    }
    let store = open(&disk, None).unwrap();
    assert!(!store.view().unwrap().has_address_index());
    store.commit(&Batch { unwind_to: Some(3), ..Default::default() }).unwrap();
    store.verify().unwrap();
    let new = open(&Faulty::new(1), Some(false)).unwrap();
    Chain::default().grow(&new, 3, 3, 65);
    assert_eq!(rows(&new), 0);
}
