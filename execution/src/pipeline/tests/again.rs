//! Blocks executed once more: traced from where they began, and from nothing but their witness.

use std::collections::{BTreeMap, HashMap};

use alloy_consensus::Header;
use alloy_primitives::{TxKind, address, hex, keccak256};
use alloy_rlp::Decodable;
use alloy_rpc_types_trace::geth::{
    CallConfig, CallFrame, GethDebugBuiltInTracerType, GethDebugTracerConfig, GethDebugTracerType,
    GethDebugTracingOptions,
};
use alloy_trie::nodes::TrieNode;
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles, TrieAccount};
use causeway_chainspec::spec::GenesisAccount;
use causeway_chainspec::{BlockEnv, Closed, SystemBlock};

use super::super::ahead::{Ground, LateHash};
use super::super::execute::{Rules, hash_block};
use super::super::testing::signed;
use super::*;
use crate::trace::{Trace, TraceLimits, Traced, Tracer, TxPlace};
use crate::trie::TrieReader;

/// Stores the second word of its input at the first.
const STORER: Address = address!("0x0000000000000000000000000000000000005101");
/// Stores the hash of the block three before.
const HASHER: Address = address!("0x0000000000000000000000000000000000005102");
/// Sends one wei to the storer.
const CALLER: Address = address!("0x0000000000000000000000000000000000005103");
/// Reverts with a word.
const REVERTER: Address = address!("0x0000000000000000000000000000000000005104");
/// Never ends.
const SPINNER: Address = address!("0x0000000000000000000000000000000000005105");
/// Makes a contract of one byte.
const FACTORY: Address = address!("0x0000000000000000000000000000000000005106");
/// Logs its input's first word as a topic.
const LOGGER: Address = address!("0x0000000000000000000000000000000000005107");

/// Mints to the storer, and makes a call nobody can pay for.
struct System;

impl SystemModule for System {
    fn genesis(&self, _: &mut SystemState<'_>) -> Result<Option<Closed>, StateError> {
        Ok(None)
    }

    fn open(
        &self,
        state: &mut SystemState<'_>,
        _: &BlockEnv,
        plan: &BlockPlan,
    ) -> Result<Box<dyn SystemBlock>, StateError> {
        // The storer's first transaction of the block finds this.
        state.set_slot(STORER, U256::from(7), U256::from(plan.claim.number))?;
        Ok(Box::new(System))
    }
}

impl SystemBlock for System {
    fn calls(&self) -> Vec<SystemCall> {
        let (from, gas_limit) = (Address::repeat_byte(0xfa), 90_000);
        let minting = SystemCall {
            from,
            to: STORER,
            mint: 5,
            value: U256::from(3),
            gas_limit,
            input: words(8, 1),
        };
        let broke = SystemCall {
            from: Address::repeat_byte(0xfb),
            to: BOB,
            mint: 0,
            value: U256::from(1),
            gas_limit,
            input: Bytes::new(),
        };
        vec![minting, broke]
    }

    fn close(
        self: Box<Self>,
        state: &mut SystemState<'_>,
        results: &[CallOutcome],
        _: &[Message],
    ) -> Result<Option<Closed>, StateError> {
        assert!(results[0].success && !results[1].success);
        let count = state.slot(system::SYSTEM_ACCOUNT, U256::from(1_000))? + U256::from(1);
        state.set_slot(system::SYSTEM_ACCOUNT, U256::from(1_000), count)?;
        Ok(None)
    }
}

fn words(first: u64, second: u64) -> Bytes {
    [U256::from(first), U256::from(second)].iter().flat_map(U256::to_be_bytes::<32>).collect()
}

fn chain() -> (TempDir, Pipeline) {
    let caller = [&hex!("6000600060006000600173")[..], STORER.as_slice(), &hex!("5af100")].concat();
    let codes = [
        (STORER, hex!("6020356000355500").to_vec()),
        (HASHER, hex!("6003430340600055").to_vec()),
        (CALLER, caller),
        (REVERTER, hex!("60ff60005260206000fd").to_vec()),
        (SPINNER, hex!("5b600056").to_vec()),
        (FACTORY, hex!("6460016000f36000526005601b6000f000").to_vec()),
        (LOGGER, hex!("60003560006000a100").to_vec()),
    ];
    let mut spec = (*spec("evm")).clone();
    for (address, code) in codes {
        let balance = U256::from(1_000);
        let account = GenesisAccount { code: code.into(), balance, ..Default::default() };
        spec.genesis.alloc.insert(address, account);
    }
    let dir = TempDir::new().unwrap();
    let config = PipelineConfig {
        spec: Arc::new(spec),
        modules: vec![Arc::new(System)],
        ..config(dir.path())
    };
    let pipeline = Pipeline::open(config).unwrap().0;
    for round in 0..4 {
        let call = |from, nonce, to: Address, input: Bytes| {
            signed(from, nonce, TxKind::Call(to), 2, 150_000, input)
        };
        let n = round * 4;
        let txs = [
            call(0, n, STORER, words(round, 9)),
            call(1, n, REVERTER, Bytes::new()),
            transfer(2, 999, BOB, 1),
            call(0, n + 1, FACTORY, Bytes::new()),
            call(0, n + 2, SPINNER, Bytes::new()),
            call(1, n + 1, LOGGER, words(3, 4)),
            signed(1, n + 2, TxKind::Create, 1, 90_000, hex!("60016000f3").into()),
            call(0, n + 3, CALLER, Bytes::new()),
            // Slots that go: branches of the trie collapse.
            call(1, n + 3, STORER, words(round.saturating_sub(1), 0)),
            call(3, round, HASHER, Bytes::new()),
            transfer(4, round, Address::with_last_byte(round as u8 + 1), 5),
        ];
        let plan = draft(&newest(&pipeline), &txs);
        let block = pipeline.execute(plan).unwrap();
        assert_eq!((block.txs.len(), block.skipped.len()), (12, 1));
        pipeline.commit(block.claim_hash, None, None).unwrap();
    }
    (dir, pipeline)
}

fn call_tracer() -> Tracer {
    let tracer = GethDebugTracerType::BuiltInTracer(GethDebugBuiltInTracerType::CallTracer);
    let tracer_config = GethDebugTracerConfig::from(CallConfig::default().with_log());
    let tracer = Some(tracer);
    Tracer::Geth(Box::new(GethDebugTracingOptions { tracer, tracer_config, ..Default::default() }))
}

fn frames(
    pipeline: &Pipeline,
    state: &dyn StateReader,
    env: &BlockEnv,
    txs: &[Arc<Tx>],
) -> Vec<CallFrame> {
    let steps: Vec<_> =
        txs.iter().map(|tx| (Traced::Tx(tx.clone(), TxPlace::default()), call_tracer())).collect();
    let limits = TraceLimits { expired: &|| false, most_bytes: usize::MAX };
    let traces = pipeline.vm().trace(state, env, &steps, limits).unwrap();
    let frame = |trace| match trace {
        Trace::Geth(trace) => trace.try_into_call_frame().unwrap(),
        Trace::Parity(_) => panic!("the other form"),
    };
    traces.into_iter().map(frame).collect()
}

fn logs_of(frame: &CallFrame) -> usize {
    frame.logs.len() + frame.calls.iter().map(logs_of).sum::<usize>()
}

#[test]
fn a_replay_gives_what_the_block_did() {
    let (_dir, pipeline) = chain();
    let snapshot = pipeline.snapshot();
    assert!(snapshot.replay(0).unwrap().is_none() && snapshot.replay(5).unwrap().is_none());
    for number in 1..=4 {
        let replay = snapshot.replay(number).unwrap().unwrap();
        let block = &replay.block;
        let again =
            pipeline.vm().execute(&*replay.state, &replay.env, &block.txs, &Stop::never()).unwrap();
        assert_eq!(again.receipts, block.receipts);
        assert!(again.skipped.is_empty());
        let whole = frames(&pipeline, &*replay.state, &replay.env, &block.txs);
        assert_eq!(whole.len(), 12);
        for (at, (frame, receipt)) in whole.iter().zip(&block.receipts).enumerate() {
            assert_eq!(frame.gas_used, U256::from(receipt.gas_used), "{number} {at}: {frame:?}");
            assert_eq!(frame.error.is_none(), receipt.success, "{number} {at}: {frame:?}");
            assert_eq!(logs_of(frame), receipt.logs.len());
            assert_eq!(frame.from, block.txs[at].sender);
            let before = pipeline
                .vm()
                .execute(&*replay.state, &replay.env, &block.txs[..at], &Stop::never())
                .unwrap();
            let state = crate::overlay::Patched { diff: before.diff, below: replay.state.clone() };
            let alone = frames(&pipeline, &state, &replay.env, &block.txs[at..at + 1]);
            assert_eq!(&alone[0], frame, "{number} {at}");
        }
    }
}

/// A state of which only a witness is known.
struct Stateless {
    root: B256,
    nodes: HashMap<B256, Bytes>,
    codes: HashMap<B256, Bytes>,
    hashes: BTreeMap<u64, B256>,
}

impl Stateless {
    fn new(witness: &Witness) -> Self {
        let by_hash =
            |items: &[Bytes]| items.iter().map(|it| (keccak256(it), it.clone())).collect();
        let headers = witness.headers.iter().map(|rlp| Header::decode(&mut &rlp[..]).unwrap());
        let headers: Vec<Header> = headers.collect();
        assert!(headers.windows(2).all(|pair| pair[1].parent_hash == pair[0].hash_slow()));
        Self {
            root: headers.last().unwrap().state_root,
            nodes: by_hash(&witness.state),
            codes: by_hash(&witness.codes),
            hashes: headers.iter().map(|header| (header.number, header.hash_slow())).collect(),
        }
    }

    /// The node at a path and whether the path ends at it exactly; or the value at a whole key.
    fn walk(&self, root: B256, path: &Nibbles) -> Result<Found, StateError> {
        if root == EMPTY_ROOT_HASH {
            return Ok(Found::Nothing);
        }
        let missing = |hash: B256| StateError(format!("the witness lacks node {hash}"));
        let mut rlp = self.nodes.get(&root).cloned().ok_or_else(|| missing(root))?;
        let mut left = *path;
        loop {
            if left.is_empty() {
                return Ok(Found::Node(rlp));
            }
            let child = match TrieNode::decode(&mut &rlp[..]).unwrap() {
                TrieNode::EmptyRoot => return Ok(Found::Nothing),
                TrieNode::Leaf(leaf) if leaf.key == left => return Ok(Found::Value(leaf.value)),
                TrieNode::Leaf(_) => return Ok(Found::Nothing),
                TrieNode::Extension(node) if left.starts_with(&node.key) => {
                    left = left.slice(node.key.len()..);
                    node.child
                }
                TrieNode::Extension(_) => return Ok(Found::Nothing),
                TrieNode::Branch(node) => {
                    let nibble = left.get(0).unwrap();
                    left = left.slice(1..);
                    let branch = node.as_ref();
                    match branch.children().nth(usize::from(nibble)) {
                        Some((_, Some(child))) => child.clone(),
                        _ => return Ok(Found::Nothing),
                    }
                }
            };
            rlp = match child.as_hash() {
                Some(hash) => self.nodes.get(&hash).cloned().ok_or_else(|| missing(hash))?,
                None => Bytes::copy_from_slice(&child),
            };
        }
    }

    fn leaf(&self, hashed: B256) -> Result<Option<TrieAccount>, StateError> {
        Ok(match self.walk(self.root, &Nibbles::unpack(hashed))? {
            Found::Value(leaf) => Some(TrieAccount::decode(&mut &*leaf).unwrap()),
            _ => None,
        })
    }
}

enum Found {
    Nothing,
    Node(Bytes),
    Value(Vec<u8>),
}

impl StateReader for Stateless {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        let leaf = self.leaf(keccak256(address))?;
        Ok(leaf.map(|leaf| Account {
            nonce: leaf.nonce,
            balance: leaf.balance,
            bytecode_hash: Some(leaf.code_hash).filter(|hash| *hash != alloy_trie::KECCAK_EMPTY),
        }))
    }

    fn slot(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        let Some(leaf) = self.leaf(keccak256(address))? else { return Ok(U256::ZERO) };
        let key = Nibbles::unpack(keccak256(B256::from(slot)));
        Ok(match self.walk(leaf.storage_root, &key)? {
            Found::Value(value) => U256::decode(&mut &*value).unwrap(),
            _ => U256::ZERO,
        })
    }

    fn code(&self, hash: B256) -> Result<Option<Bytes>, StateError> {
        Ok(self.codes.get(&hash).cloned())
    }

    fn block_hash(&self, number: u64) -> Result<Option<B256>, StateError> {
        Ok(self.hashes.get(&number).copied())
    }
}

impl TrieReader for Stateless {
    fn account_node(&self, path: &Nibbles) -> Result<Option<Bytes>, StateError> {
        Ok(match self.walk(self.root, path)? {
            Found::Node(rlp) => Some(rlp),
            _ => None,
        })
    }

    fn storage_node(&self, account: B256, path: &Nibbles) -> Result<Option<Bytes>, StateError> {
        let Some(leaf) = self.leaf(account)? else { return Ok(None) };
        Ok(match self.walk(leaf.storage_root, path)? {
            Found::Node(rlp) => Some(rlp),
            _ => None,
        })
    }
}

#[test]
fn a_witness_is_enough_to_execute_its_block_and_none_of_it_is_useless() {
    let (_dir, pipeline) = chain();
    let snapshot = pipeline.snapshot();
    assert!(snapshot.witness(0).unwrap().is_none() && snapshot.witness(5).unwrap().is_none());
    let rules = |rules: &Rules| Rules {
        spec: rules.spec.clone(),
        vm: crate::open(&rules.spec).unwrap(),
        modules: rules.modules.clone(),
        metrics: Arc::default(),
    };
    for number in 1..=4 {
        let witness = snapshot.witness(number).unwrap().unwrap();
        let block = snapshot.block(number).unwrap().unwrap();
        let execute = |witness: &Witness| {
            let id = snapshot.id(number - 1).unwrap().unwrap();
            let state = Stateless::new(witness);
            let (hash, number) = (LateHash::known(id.hash), id.number);
            let ground = Ground { number, claim: id.claim, hash, state: &state };
            let run = rules(&pipeline.core.rules).run(&ground, &block.plan, &Stop::never())?;
            hash_block(&state, id.hash, block.plan.clone(), run)
        };
        let layer = execute(&witness).unwrap();
        assert_eq!(layer.id().hash, block.hash, "state root included");
        let headers = if number < 3 { 1 } else { 3 };
        assert_eq!(witness.headers.len(), headers, "BLOCKHASH of three before");
        assert!(witness.keys.iter().any(|key| key[..] == *STORER.as_slice()));
        assert!(witness.keys.iter().all(|key| matches!(key.len(), 20 | 32)));
        assert!(witness.codes.iter().any(|code| code[..] == hex!("6020356000355500")));
        for at in 0..witness.codes.len() {
            let mut less = witness.clone();
            less.codes.remove(at);
            assert!(execute(&less).is_err(), "block {number}: code {at} is not needed");
        }
        for at in 0..witness.state.len() {
            let mut less = witness.clone();
            less.state.remove(at);
            assert!(execute(&less).is_err(), "block {number}: node {at} is not needed");
        }
    }
}
