//! What blocks cost as the state grows: roots over blocks that are not stored yet, store commits,
//! and opening the store again. `cargo bench --workspace --bench state [-- ACCOUNTS...]`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_consensus::Header;
use alloy_primitives::{Address, B256, U256, keccak256};
use causeway_chainspec::plan::Candidate;
use causeway_chainspec::{
    Account, AccountDiff, Block, BlockBody, BlockPlan, Claim, StateDiff, StateReader, Tx,
};
use causeway_execution::overlay::{Empty, Layer, Overlay};
use causeway_execution::store::{Batch, ExecutedBlock, Store, StoreConfig, View};
use causeway_execution::trie::{self, TrieReader};
use causeway_tests::keys;
use causeway_tests::txs::{Draft, Form};
use tempfile::TempDir;

/// Transactions of a block: each to a recipient that is new.
const TXS: u64 = 1_000;
/// Blocks of a batch.
const BLOCKS: u64 = 8;
const IDENTITY: B256 = B256::repeat_byte(1);

fn open(dir: &Path) -> Store {
    let config = StoreConfig {
        identity: IDENTITY,
        archive: false,
        address_index: None,
        history_blocks: 128,
        cache_bytes: 256 << 20,
    };
    Store::open(dir, config).expect("the disk works")
}

fn address(index: u64) -> Address {
    Address::from_slice(&keccak256(index.to_be_bytes())[12..])
}

fn set(diff: &mut StateDiff, index: u64, wei: u64) {
    let account = Some(Account { nonce: 1, balance: U256::from(wei), bytecode_hash: None });
    diff.accounts.insert(address(index), AccountDiff { account, ..AccountDiff::default() });
}

/// A block of these transactions on its parent, with this state.
fn block(
    parent: Option<&Block>,
    txs: Vec<Arc<Tx>>,
    diff: StateDiff,
    below: &dyn TrieReader,
) -> (Layer, Duration) {
    let start = Instant::now();
    let (state_root, trie) = trie::state_root(below, &diff).expect("the trie is whole");
    let took = start.elapsed();
    let candidates = txs.iter().map(|tx| tx.raw.clone()).collect();
    let body = BlockBody { inbound: Vec::new(), candidates };
    let number = parent.map_or(0, |parent| parent.header.number + 1);
    let claim = Claim {
        identity: IDENTITY,
        number,
        term: 0,
        parent: parent.map_or(B256::ZERO, |parent| parent.claim_hash),
        time_ms: number,
        origin: None,
        cut: Default::default(),
        anchors: Vec::new(),
        inbound_root: body.inbound_root(),
        candidates_root: body.candidates_root(),
        takeover: None,
    };
    let parent_hash = parent.map_or(B256::ZERO, |parent| parent.hash);
    let header = Header { number, parent_hash, state_root, ..Default::default() };
    let candidates = txs.iter().cloned().map(Candidate::Tx).collect();
    let (claim_hash, hash) = (claim.hash(), header.hash_slow());
    let plan = BlockPlan { claim, body, forced: Vec::new(), candidates };
    let (receipts, skipped, outbox, ethereum) = Default::default();
    let block = Block { plan, claim_hash, header, hash, txs, receipts, skipped, outbox, ethereum };
    let (block, diff, trie) = (Arc::new(block), Arc::new(diff), Arc::new(trie));
    (Layer::new(ExecutedBlock { block, seal: None, diff, trie }), took)
}

fn transfers(first: u64) -> Vec<Arc<Tx>> {
    let senders = keys::accounts();
    (first..first + TXS)
        .map(|index| {
            let sender = &senders[index as usize % senders.len()];
            let raw = Draft::transfer(901, index, address(index), 1).sign(Form::Dynamic, sender);
            Arc::new(Tx::stored(raw, sender.address()).expect("a transaction"))
        })
        .collect()
}

struct Chain {
    store: Store,
    view: View,
    newest: Arc<Block>,
    /// Accounts made so far.
    accounts: u64,
}

impl Chain {
    /// A batch of blocks, each reading what it changes; the time for reads and roots, and for the
    /// commit, an item of work: a transaction.
    fn batch(&mut self, fresh: bool) -> (f64, f64, f64) {
        let mut layers: Vec<Arc<Layer>> = Vec::new();
        let (mut reading, mut rooting) = (Duration::ZERO, Duration::ZERO);
        for number in 0..BLOCKS {
            let first = if fresh { self.accounts } else { (number * 7_919_000) % self.accounts };
            let txs = transfers(first);
            let overlay = Overlay::new(self.view.clone(), layers.clone());
            let mut diff = StateDiff::default();
            for index in first..first + TXS {
                set(&mut diff, index, index + number);
            }
            (0..10).for_each(|index| set(&mut diff, u64::MAX - index, number));
            let start = Instant::now();
            for address in diff.accounts.keys() {
                overlay.account(*address).expect("the store reads");
            }
            reading += start.elapsed();
            let (layer, took) = block(Some(&self.newest), txs, diff, &overlay);
            rooting += took;
            self.newest = layer.executed.block.clone();
            layers.push(Arc::new(layer));
            if fresh {
                self.accounts += TXS;
            }
        }
        let blocks = layers.iter().map(|layer| layer.executed.clone()).collect();
        let start = Instant::now();
        self.store.commit(&Batch { blocks, ..Default::default() }).expect("the disk works");
        let committing = start.elapsed();
        self.view = self.store.view().expect("the store reads");
        let each = |time: Duration| time.as_secs_f64() * 1e6 / (BLOCKS * TXS) as f64;
        (each(reading), each(rooting), each(committing))
    }

    /// A block that changes one account, on the view.
    fn empty(&self) -> Duration {
        let mut diff = StateDiff::default();
        set(&mut diff, u64::MAX, 5);
        let overlay = Overlay::new(self.view.clone(), Vec::new());
        block(Some(&self.newest), Vec::new(), diff, &overlay).1
    }
}

fn measure(accounts: u64, batches: usize) {
    let dir = TempDir::new().expect("a temporary directory");
    let store = open(dir.path());
    let mut diff = StateDiff::default();
    (0..accounts).for_each(|index| set(&mut diff, index, index));
    let layer = block(None, Vec::new(), diff, &Empty).0;
    let newest = layer.executed.block.clone();
    store.commit(&Batch { blocks: vec![layer.executed], ..Default::default() }).expect("it works");
    let view = store.view().expect("the store reads");
    let mut chain = Chain { store, view, newest, accounts: accounts.max(TXS) };
    println!("{accounts} accounts; us a transaction: read, root, commit");
    for batch in 0..batches {
        let fresh = batch % 2 == 0;
        let (read, root, commit) = chain.batch(fresh);
        let kind = if fresh { "fresh" } else { "known" };
        println!("  {kind} {read:6.2} {root:6.2} {commit:6.2}");
    }
    let mut empty: Vec<_> = (0..21).map(|_| chain.empty()).collect();
    empty.sort_unstable();
    println!("  empty block's root: {:?}", empty[10]);
    let Chain { store, view, .. } = chain;
    drop((view, store));
    let bytes = std::fs::metadata(dir.path().join("state.redb")).map_or(0, |file| file.len());
    let start = Instant::now();
    let store = open(dir.path());
    store.view().expect("the store reads");
    println!("  opened {} MB again in {:?}", bytes >> 20, start.elapsed());
    let sizes: BTreeMap<_, _> =
        store.stats().expect("it reads").into_iter().map(|it| (it.name, it.bytes >> 10)).collect();
    println!("  KB: {sizes:?}");
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let sizes: Vec<u64> = arguments.iter().filter_map(|it| it.parse().ok()).collect();
    match sizes.as_slice() {
        // Run as a test, it shows that it works.
        [] if !arguments.iter().any(|it| it == "--bench") => measure(2_000, 2),
        [] => [1_000, 100_000, 1_000_000].into_iter().for_each(|accounts| measure(accounts, 8)),
        sizes => sizes.iter().for_each(|accounts| measure(*accounts, 8)),
    }
}
