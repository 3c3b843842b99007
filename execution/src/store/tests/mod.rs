//! A synthetic chain with random state, and what it should look like at every block.

mod crash;
mod history;
mod index;
mod opening;
mod rounds;

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_consensus::{Signed, TxEip1559};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bloom, Bytes, Log, Signature, TxKind, U256, keccak256};
use causeway_chainspec::block::{Outcome, concat_hash, header};
use causeway_chainspec::plan::Candidate;
use causeway_chainspec::{
    Account, AccountDiff, Block, BlockBody, BlockEnv, BlockPlan, Claim, DaRef, ForcedCut,
    ForcedEntry, Fork, LaneItem, Message, Receipt, Seal, SkipReason, StateDiff, StateReader, Terms,
    Tx, TxEnvelope, TxError,
};
use op_alloy_consensus::TxDeposit;

use super::*;
use crate::disk::Faulty;
use crate::trie::{TrieReader, state_root};

pub(super) const IDENTITY: B256 = B256::repeat_byte(0xca);

pub(super) fn config() -> StoreConfig {
    StoreConfig {
        identity: IDENTITY,
        archive: false,
        address_index: None,
        history_blocks: 128,
        cache_bytes: 8 << 20,
    }
}

pub(super) fn memory() -> Store {
    Store::open(Faulty::new(0).folder("store"), config()).unwrap()
}

/// xorshift64*: enough chance for tests, the same on every machine.
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) % end
    }
}

type State = BTreeMap<Address, (Account, BTreeMap<U256, U256>)>;

/// Blocks made so far on one branch, and the state after each.
#[derive(Default, Clone)]
pub(super) struct Chain {
    pub(super) blocks: Vec<ExecutedBlock>,
    pub(super) states: Vec<State>,
}

const ACCOUNTS: u64 = 24;
const SLOTS: u64 = 12;

impl Chain {
    /// Makes a block on top of the last one, whose state `reader` has.
    pub(super) fn extend(&mut self, reader: &(impl StateReader + TrieReader), seed: u64) {
        let number = self.blocks.len() as u64;
        let mut chance = Chance::new(seed ^ (number << 32));
        let mut state = self.states.last().cloned().unwrap_or_default();
        let diff = random_diff(&mut state, &mut chance);
        let (root, trie) = state_root(reader, &diff).unwrap();
        let parent = self.blocks.last().map(|parent| &*parent.block);
        let block = random_block(parent, number, root, &mut chance);
        let seal = (chance.below(3) > 0)
            .then(|| Seal { view: number, proof: Bytes::from(vec![seed as u8; 65]) });
        let (block, diff, trie) = (Arc::new(block), Arc::new(diff), Arc::new(trie));
        self.blocks.push(ExecutedBlock { block, seal, diff, trie });
        self.states.push(state);
    }

    /// Makes blocks and commits them, `each` in a batch.
    pub(super) fn grow(&mut self, store: &Store, count: usize, each: usize, seed: u64) {
        let mut left = count;
        while left > 0 {
            let many = each.min(left);
            let from = self.blocks.len();
            let mut overlay = Overlay { view: store.view().unwrap(), over: TrieDiff::default() };
            for _ in 0..many {
                self.extend(&overlay, seed);
                overlay.over.merge(&self.blocks.last().unwrap().trie);
            }
            store.commit(&self.batch(from)).unwrap();
            left -= many;
        }
    }

    /// A batch of the blocks from an index on.
    pub(super) fn batch(&self, from: usize) -> Batch {
        let blocks = self.blocks[from..].to_vec();
        Batch { blocks, log_offset: self.blocks.len() as u64 * 100, ..Default::default() }
    }

    pub(super) fn truncate(&mut self, to: u64) {
        self.blocks.truncate(to as usize + 1);
        self.states.truncate(to as usize + 1);
    }
}

/// Trie nodes of blocks that are not committed, over those that are.
struct Overlay {
    view: View,
    over: TrieDiff,
}

impl StateReader for Overlay {
    fn account(&self, address: Address) -> Result<Option<Account>, causeway_chainspec::StateError> {
        self.view.account(address)
    }
    fn slot(&self, address: Address, slot: U256) -> Result<U256, causeway_chainspec::StateError> {
        self.view.slot(address, slot)
    }
    fn code(&self, hash: B256) -> Result<Option<Bytes>, causeway_chainspec::StateError> {
        self.view.code(hash)
    }
    fn block_hash(&self, number: u64) -> Result<Option<B256>, causeway_chainspec::StateError> {
        self.view.block_hash(number)
    }
}

impl TrieReader for Overlay {
    fn account_node(
        &self,
        path: &alloy_trie::Nibbles,
    ) -> Result<Option<Bytes>, causeway_chainspec::StateError> {
        match self.over.accounts.get(path) {
            Some(node) => Ok(node.clone()),
            None => self.view.account_node(path),
        }
    }
    fn storage_node(
        &self,
        account: B256,
        path: &alloy_trie::Nibbles,
    ) -> Result<Option<Bytes>, causeway_chainspec::StateError> {
        if let Some(diff) = self.over.storages.get(&account) {
            if let Some(node) = diff.nodes.get(path) {
                return Ok(node.clone());
            }
            if diff.wiped {
                return Ok(None);
            }
        }
        self.view.storage_node(account, path)
    }
}

pub(super) fn address(index: u64) -> Address {
    Address::from_slice(&keccak256(index.to_be_bytes())[..20])
}

fn random_diff(state: &mut State, chance: &mut Chance) -> StateDiff {
    let mut diff = StateDiff::default();
    for _ in 0..1 + chance.below(6) {
        let address = address(chance.below(ACCOUNTS));
        if diff.accounts.contains_key(&address) {
            continue;
        }
        if chance.below(6) == 0 {
            let wiped = chance.below(2) == 0;
            diff.accounts.insert(address, AccountDiff { wiped, ..Default::default() });
            state.remove(&address);
            continue;
        }
        let code = Bytes::from(vec![chance.below(4) as u8; 40]);
        let has_code = chance.below(2) == 0;
        let account = Account {
            nonce: chance.below(1000),
            balance: U256::from(chance.below(u64::MAX)),
            bytecode_hash: has_code.then(|| keccak256(&code)),
        };
        if has_code {
            diff.codes.insert(keccak256(&code), code);
        }
        let wiped = chance.below(5) == 0;
        let held = state.entry(address).or_default();
        held.0 = account;
        if wiped {
            held.1.clear();
        }
        let mut storage = BTreeMap::new();
        for _ in 0..chance.below(8) {
            let (slot, value) = (U256::from(chance.below(SLOTS)), U256::from(chance.below(3) << 7));
            storage.insert(slot, value);
            held.1.insert(slot, value);
        }
        held.1.retain(|_, value| !value.is_zero());
        diff.accounts.insert(address, AccountDiff { account: Some(account), wiped, storage });
    }
    diff
}

fn signed(number: u64, index: u64) -> Arc<Tx> {
    let tx = TxEip1559 {
        chain_id: 7,
        nonce: number,
        gas_limit: 21_000 + index,
        to: TxKind::Call(address(index)),
        ..Default::default()
    };
    let signed = Signed::new_unchecked(tx, Signature::test_signature(), B256::ZERO);
    let raw = TxEnvelope::Eip1559(signed).encoded_2718();
    Arc::new(Tx::stored(raw.into(), Address::repeat_byte(index as u8)).unwrap())
}

fn random_plan(parent: Option<&Block>, number: u64, chance: &mut Chance) -> BlockPlan {
    let txs: Vec<_> = (0..chance.below(4)).map(|index| signed(number, index)).collect();
    let garbage = Bytes::from(vec![0xff, number as u8, chance.below(256) as u8]);
    let forced =
        vec![ForcedEntry { da: DaRef::default(), time_ms: number, bytes: garbage.clone() }];
    let body = BlockBody {
        inbound: Vec::new(),
        candidates: txs.iter().map(|tx| tx.raw.clone()).collect(),
    };
    let claim = Claim {
        identity: IDENTITY,
        number,
        term: chance.below(100),
        parent: parent.map_or(B256::ZERO, |parent| parent.claim_hash),
        time_ms: number * 1000,
        origin: None,
        cut: ForcedCut::default(),
        anchors: Vec::new(),
        inbound_root: body.inbound_root(),
        candidates_root: body.candidates_root(),
        takeover: None,
    };
    let invalid = Candidate::Invalid(keccak256(garbage), TxError::Encoding.into());
    let candidates = [invalid].into_iter().chain(txs.into_iter().map(Candidate::Tx)).collect();
    BlockPlan { claim, body, forced, candidates }
}

fn random_block(parent: Option<&Block>, number: u64, root: B256, chance: &mut Chance) -> Block {
    let plan = random_plan(parent, number, chance);
    let deposit = TxDeposit {
        source_hash: B256::from(U256::from(number)),
        from: address(number),
        ..Default::default()
    };
    let mut txs = vec![Arc::new(Tx::deposit(deposit))];
    let mut skipped = Vec::new();
    for candidate in &plan.candidates {
        match candidate {
            Candidate::Tx(tx) if chance.below(4) > 0 => txs.push(tx.clone()),
            Candidate::Tx(tx) => {
                skipped.push((tx.hash, SkipReason::NonceTooLow { state: number, tx: 0 }));
            }
            Candidate::Invalid(hash, reason) => skipped.push((*hash, reason.clone())),
        }
    }
    let receipts = (1..=txs.len() as u64)
        .map(|index| Receipt {
            success: index % 2 == 0,
            gas_used: 21_000,
            cumulative_gas_used: 21_000 * index,
            logs: vec![Log::new_unchecked(address(index), vec![root], Bytes::from_static(b"log"))],
            deposit_nonce: index,
            contract_address: (index % 3 == 0).then(|| address(index)),
        })
        .collect();
    let message = Message {
        nonce: number as u32,
        origin: 1,
        sender: root,
        destination: 2,
        recipient: root,
        body: Bytes::from_static(b"message"),
        terms: Terms { gas_limit: 1, gas_price: 2, expiry_ms: 3, refund_to: address(4) },
    };
    let message = LaneItem::Message(message);
    let header = header(&plan.claim, &env(number), &outcome(parent, root));
    let (hash, claim_hash) = (header.hash_slow(), plan.claim.hash());
    let (outbox, ethereum) = (vec![message], None);
    Block { plan, claim_hash, header, hash, txs, receipts, skipped, outbox, ethereum }
}

fn env(number: u64) -> BlockEnv {
    BlockEnv {
        chain_id: 7,
        number,
        time_ms: number * 1000,
        fork: Fork::Prague,
        beneficiary: Address::ZERO,
        gas_limit: 30_000_000,
        gas_available: 30_000_000,
        bytes_available: 1 << 20,
        base_fee: 7,
        mix_hash: B256::ZERO,
        difficulty: U256::ZERO,
        blob_base_fee: 1,
    }
}

fn outcome(parent: Option<&Block>, state_root: B256) -> Outcome {
    Outcome {
        parent_hash: parent.map_or(B256::ZERO, |parent| parent.hash),
        state_root,
        transactions_root: concat_hash(std::iter::empty()),
        receipts_root: B256::ZERO,
        logs_bloom: Bloom::ZERO,
        gas_used: 0,
        withdrawals_root: B256::ZERO,
        commitment: B256::ZERO,
    }
}

/// All rows of a store, but for how far the log is applied.
pub(super) fn dump(store: &Store) -> BTreeMap<(&'static str, Vec<u8>), Vec<u8>> {
    let view = store.view().unwrap();
    let mut rows = view.tables().dump();
    let facts = meta::Facts { log_offset: 0, ..view.facts().clone() };
    rows.insert(("meta", b"facts".to_vec()), alloy_rlp::encode(facts));
    rows
}

/// Every account and slot, those that do not exist too.
pub(super) fn assert_state(reader: &impl StateReader, state: &State) {
    for index in 0..ACCOUNTS {
        let address = address(index);
        let held = state.get(&address);
        assert_eq!(reader.account(address), Ok(held.map(|(account, _)| *account)));
        for slot in (0..SLOTS).map(U256::from) {
            let value = held.and_then(|(_, slots)| slots.get(&slot)).copied().unwrap_or_default();
            assert_eq!(reader.slot(address, slot), Ok(value), "{address} {slot}");
        }
    }
}

pub(super) fn assert_block(stored: &Block, block: &Block) {
    // Neither type compares by itself: what they print is all they hold.
    assert_eq!(format!("{stored:?}"), format!("{block:?}"));
}
