//! A node made of values: a chain of blocks in memory and a pool.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_consensus::Header;
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use async_trait::async_trait;
use causeway_chainspec::block::{Outcome, header};
use causeway_chainspec::spec::{ChainSpec, DaSpec};
use causeway_chainspec::spec::{
    Fees, Fork, Gas, GenesisSpec, Kind, MetalayerSpec, Public, SequencerSpec, Token,
};
use causeway_chainspec::{
    Account, Block, BlockBody, BlockEnv, BlockId, BlockPlan, Claim, DaRef, Heads, LaneItem,
    Receipt, StateError, StateReader, Tx,
};
use causeway_consensus::SequencerStatus;
use causeway_da::DaError;
use causeway_execution::pipeline::{Proof, Replay, Witness};
use causeway_execution::store::AddressIndex;
use causeway_execution::{ExecutionError, Pipeline, Vm};
use parking_lot::Mutex;
use tokio::sync::{broadcast, watch};

use super::fake_vm::FakeVm;
use crate::node::recent::Reader;
use crate::rpc::{
    Backend, BlockEvent, ChainReader, NodeStatus, PoolContent, SubmitError, SyncStatus, Verified,
};

/// Chain id of the fake chain.
pub(super) const CHAIN_ID: u64 = 4242;
/// Genesis time, ms.
pub(super) const START_MS: u64 = 1_700_000_000_000;
/// Base fee of every block, and of the next.
pub(super) const BASE_FEE: u64 = 1000;

pub(super) fn spec() -> ChainSpec {
    ChainSpec {
        name: "Fake".into(),
        short_name: "fake".into(),
        chain_id: CHAIN_ID,
        kind: Kind::Devnet,
        vm: "fake".into(),
        gas: Gas {
            limit: 30_000_000,
            rate: 30_000,
            burst: 60_000_000,
            target: 15_000,
            rate_bytes: 1000,
            burst_bytes: 1_000_000,
            limit_bytes: 1_000_000,
            limit_candidates: 10_000,
        },
        fees: Fees {
            min_base_fee: 1,
            floor: 0,
            denominator: 1,
            recipient: Address::repeat_byte(0xfe),
        },
        token: Token { name: "Fake Ether".into(), symbol: "FETH".into(), decimals: 18 },
        forks: vec![(Fork::Prague, 0), (Fork::Osaka, 1_900_000_000)],
        da: DaSpec {
            layer: "local".into(),
            interval_ms: 1000,
            start: 0,
            options: toml::Table::new(),
        },
        sequencer: SequencerSpec {
            mode: "single".into(),
            keys: Vec::new(),
            posters: Vec::new(),
            window_ms: 600_000,
            drift_ms: 10_000,
            forced_delay_ms: 10_000,
            lane_rate: 1000,
            block_time_ms: 1000,
            idle_ms: 1000,
            options: toml::Table::new(),
        },
        genesis: GenesisSpec { time_ms: START_MS, alloc: BTreeMap::new(), preinstalls: Vec::new() },
        metalayer: MetalayerSpec::none(CHAIN_ID as u32),
        public: Public::default(),
        memo: Default::default(),
    }
}

/// State in maps.
#[derive(Debug, Clone, Default)]
pub(crate) struct FakeState {
    pub(super) accounts: BTreeMap<Address, Account>,
    pub(super) slots: BTreeMap<(Address, U256), U256>,
    pub(super) codes: BTreeMap<B256, Bytes>,
}

impl FakeState {
    pub(super) fn fund(mut self, address: Address, balance: u64, nonce: u64) -> Self {
        let account = self.accounts.entry(address).or_default();
        (account.balance, account.nonce) = (U256::from(balance), nonce);
        self
    }

    pub(super) fn contract(mut self, address: Address, code: Bytes) -> Self {
        let hash = keccak256(&code);
        self.accounts.entry(address).or_default().bytecode_hash = Some(hash);
        self.codes.insert(hash, code);
        self
    }
}

impl StateReader for FakeState {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        Ok(self.accounts.get(&address).copied())
    }
    fn slot(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        Ok(self.slots.get(&(address, slot)).copied().unwrap_or_default())
    }
    fn code(&self, hash: B256) -> Result<Option<Bytes>, StateError> {
        Ok(self.codes.get(&hash).cloned())
    }
    fn block_hash(&self, _number: u64) -> Result<Option<B256>, StateError> {
        Ok(None)
    }
}

/// A chain in memory; cloned for every request, as a snapshot would be.
#[derive(Clone, Default)]
pub(crate) struct FakeChain {
    pub(crate) blocks: Vec<Arc<Block>>,
    pub(super) states: Vec<Arc<FakeState>>,
    pub(crate) safe: u64,
    pub(crate) finalized: u64,
    pub(super) oldest_state: u64,
}

impl FakeChain {
    /// Puts a block on top.
    pub(super) fn push(&mut self, txs: Vec<(Tx, Receipt)>, state: FakeState) -> Arc<Block> {
        self.push_sending(txs, state, (Vec::new(), B256::ZERO))
    }

    /// Puts a block on top that sends, and commits to it.
    pub(crate) fn push_sending(
        &mut self,
        txs: Vec<(Tx, Receipt)>,
        state: FakeState,
        (outbox, commitment): (Vec<LaneItem>, B256),
    ) -> Arc<Block> {
        let parent = self.blocks.last();
        let number = self.blocks.len() as u64;
        let claim = Claim {
            identity: B256::ZERO,
            number,
            term: 0,
            parent: parent.map_or(B256::ZERO, |block| block.claim_hash),
            time_ms: START_MS + number * 1000,
            origin: None,
            cut: Default::default(),
            anchors: Vec::new(),
            inbound_root: B256::ZERO,
            candidates_root: B256::ZERO,
            takeover: None,
        };
        let (txs, receipts): (Vec<Tx>, Vec<Receipt>) = txs.into_iter().unzip();
        let outcome = Outcome {
            parent_hash: parent.map_or(B256::ZERO, |block| block.hash),
            state_root: B256::repeat_byte(0x51),
            transactions_root: B256::repeat_byte(0x52),
            receipts_root: B256::repeat_byte(0x53),
            logs_bloom: alloy_primitives::logs_bloom(receipts.iter().flat_map(|r| &r.logs)),
            gas_used: receipts.iter().map(|receipt| receipt.gas_used).sum(),
            withdrawals_root: B256::repeat_byte(0x54),
            commitment,
        };
        let header = header(&claim, &env(number), &outcome);
        let block = Arc::new(Block {
            claim_hash: claim.hash(),
            hash: header.hash_slow(),
            header,
            txs: txs.into_iter().map(Arc::new).collect(),
            receipts,
            skipped: Vec::new(),
            outbox,
            ethereum: None,
            plan: BlockPlan::new(claim, BlockBody::default(), Vec::new(), &|_| None),
        });
        self.blocks.push(block.clone());
        self.states.push(Arc::new(state));
        block
    }

    fn id(&self, number: u64) -> BlockId {
        let block = &self.blocks[number as usize];
        BlockId { number, claim: block.claim_hash, hash: block.hash }
    }
}

/// Environment of a block of the fake chain.
pub(super) fn env(number: u64) -> BlockEnv {
    let spec = spec();
    BlockEnv {
        chain_id: CHAIN_ID,
        number,
        time_ms: START_MS + number * 1000,
        fork: Fork::Prague,
        beneficiary: spec.fees.recipient,
        gas_limit: spec.gas.limit,
        gas_available: spec.gas.limit,
        bytes_available: spec.gas.limit_bytes,
        base_fee: BASE_FEE,
        mix_hash: B256::repeat_byte(0x77),
        difficulty: U256::ZERO,
        blob_base_fee: 1,
    }
}

impl ChainReader for FakeChain {
    fn latest(&self) -> BlockId {
        self.id(self.blocks.len() as u64 - 1)
    }
    fn safe(&self) -> BlockId {
        self.id(self.safe)
    }
    fn finalized(&self) -> BlockId {
        self.id(self.finalized)
    }
    fn block(&self, number: u64) -> Result<Option<Arc<Block>>, ExecutionError> {
        Ok(self.blocks.get(number as usize).cloned())
    }
    fn header(&self, number: u64) -> Result<Option<Header>, ExecutionError> {
        Ok(self.blocks.get(number as usize).map(|block| block.header.clone()))
    }
    fn number_of_hash(&self, hash: B256) -> Result<Option<u64>, ExecutionError> {
        Ok(self.blocks.iter().position(|block| block.hash == hash).map(|at| at as u64))
    }
    fn tx(&self, hash: B256) -> Result<Option<(Arc<Block>, usize)>, ExecutionError> {
        Ok(self.blocks.iter().find_map(|block| {
            let index = block.txs.iter().position(|tx| tx.hash == hash)?;
            Some((block.clone(), index))
        }))
    }
    fn state(&self, number: u64) -> Result<Option<Arc<dyn StateReader>>, ExecutionError> {
        if number < self.oldest_state {
            return Ok(None);
        }
        Ok(self.states.get(number as usize).map(|state| state.clone() as Arc<dyn StateReader>))
    }
    fn prove(
        &self,
        number: u64,
        address: Address,
        slots: &[U256],
    ) -> Result<Option<Proof>, ExecutionError> {
        let state = &self.states[number as usize];
        let slots = slots
            .iter()
            .map(|slot| {
                (*slot, state.slot(address, *slot).unwrap(), vec![Bytes::from_static(&[0xc1])])
            })
            .collect();
        Ok(Some(Proof {
            account: state.account(address)?,
            storage_root: B256::repeat_byte(0x61),
            account_proof: vec![Bytes::from_static(&[0xc0])],
            slots,
        }))
    }
    fn env(&self, number: u64) -> Result<Option<BlockEnv>, ExecutionError> {
        Ok(Some(env(number)))
    }
    fn next_env(&self, _time_ms: u64) -> Result<BlockEnv, ExecutionError> {
        Ok(env(self.blocks.len() as u64))
    }
    fn oldest_state(&self) -> Result<u64, ExecutionError> {
        Ok(self.oldest_state)
    }
    fn oldest_proof(&self) -> Result<u64, ExecutionError> {
        Ok(self.oldest_state)
    }
    fn replay(&self, number: u64) -> Result<Option<Replay>, ExecutionError> {
        let Some(parent) = number.checked_sub(1) else { return Ok(None) };
        let state = self.state(parent)?;
        Ok(state.map(|state| Replay {
            block: self.blocks[number as usize].clone(),
            state,
            env: env(number),
        }))
    }
    fn witness(&self, _number: u64) -> Result<Option<Witness>, ExecutionError> {
        Ok(None)
    }
    fn index(&self) -> Option<&dyn AddressIndex> {
        None
    }
}

/// A node without tasks.
pub(super) struct FakeNode {
    spec: ChainSpec,
    vm: Arc<dyn Vm>,
    /// Blocks that were really executed, asked instead of `chain`.
    real: Option<Arc<Pipeline>>,
    /// Held by a test, makes call data 0x0a wait.
    pub(super) gate: Arc<Mutex<()>>,
    pub(super) chain: Mutex<FakeChain>,
    pub(super) pool: Mutex<Vec<Arc<Tx>>>,
    /// What the next submit fails with.
    pub(super) refuse: Mutex<Option<SubmitError>>,
    /// How many transactions came with each call.
    pub(super) submitted: Mutex<Vec<usize>>,
    /// What the next forced entry fails with.
    pub(super) da_error: Mutex<Option<DaError>>,
    /// The forced lane.
    pub(super) forced: Mutex<Vec<Bytes>>,
    pub(super) sync: Mutex<Option<SyncStatus>>,
    pub(super) heads: watch::Sender<Heads>,
    pub(super) pending: broadcast::Sender<Arc<Tx>>,
    pub(super) blocks: broadcast::Sender<BlockEvent>,
}

impl FakeNode {
    pub(super) fn new(chain: FakeChain) -> Arc<Self> {
        Arc::new(Self::of(chain))
    }

    /// A node over a pipeline.
    pub(super) fn over(pipeline: Arc<Pipeline>, spec: ChainSpec) -> Arc<Self> {
        let mut chain = FakeChain::default();
        chain.push(Vec::new(), FakeState::default());
        let vm = pipeline.vm().clone();
        Arc::new(Self { spec, vm, real: Some(pipeline), ..Self::of(chain) })
    }

    fn of(chain: FakeChain) -> Self {
        let gate = Arc::new(Mutex::new(()));
        let heads = Heads {
            latest: chain.latest(),
            safe: chain.safe(),
            finalized: chain.finalized(),
            safe_da: DaRef { height: 7, hash: B256::repeat_byte(0xda) },
            reorgs: 0,
        };
        Self {
            spec: spec(),
            vm: Arc::new(FakeVm { gate: gate.clone() }),
            real: None,
            gate,
            chain: Mutex::new(chain),
            pool: Mutex::default(),
            refuse: Mutex::default(),
            submitted: Mutex::default(),
            da_error: Mutex::default(),
            forced: Mutex::default(),
            sync: Mutex::default(),
            heads: watch::Sender::new(heads),
            pending: broadcast::Sender::new(16),
            blocks: broadcast::Sender::new(16),
        }
    }
}

#[async_trait]
impl Backend for FakeNode {
    fn spec(&self) -> &ChainSpec {
        &self.spec
    }
    fn chain(&self) -> Arc<dyn ChainReader> {
        match &self.real {
            Some(real) => Arc::new(Reader { snapshot: real.snapshot(), recent: Arc::default() }),
            None => Arc::new(self.chain.lock().clone()),
        }
    }
    fn vm(&self) -> &Arc<dyn Vm> {
        &self.vm
    }
    fn now_ms(&self) -> u64 {
        START_MS + 60_000
    }
    async fn submit_all(&self, raws: Vec<Bytes>) -> Vec<Result<B256, SubmitError>> {
        self.submitted.lock().push(raws.len());
        let take = |raw: Bytes| {
            if let Some(error) = self.refuse.lock().take() {
                return Err(error);
            }
            let tx = Arc::new(Tx::decode(raw)?);
            self.pool.lock().push(tx.clone());
            let _ = self.pending.send(tx.clone());
            Ok(tx.hash)
        };
        raws.into_iter().map(take).collect()
    }
    async fn force(&self, entry: Bytes) -> Result<(), DaError> {
        if let Some(error) = self.da_error.lock().take() {
            return Err(error);
        }
        self.forced.lock().push(entry);
        Ok(())
    }
    fn feed_block(&self, number: u64) -> Result<Option<Bytes>, ExecutionError> {
        Ok(Some(Bytes::from(number.to_be_bytes())))
    }
    fn pending_tx(&self, hash: B256) -> Option<Arc<Tx>> {
        self.pool.lock().iter().find(|tx| tx.hash == hash).cloned()
    }
    fn pending_nonce(&self, address: Address, state_nonce: u64) -> u64 {
        state_nonce + self.pool.lock().iter().filter(|tx| tx.sender == address).count() as u64
    }
    fn pool_status(&self) -> (usize, usize) {
        (self.pool.lock().len(), 0)
    }
    fn pool_content(&self) -> PoolContent {
        PoolContent { pending: self.pool.lock().clone(), queued: Vec::new() }
    }
    fn heads(&self) -> watch::Receiver<Heads> {
        self.heads.subscribe()
    }
    fn new_pending(&self) -> broadcast::Receiver<Arc<Tx>> {
        self.pending.subscribe()
    }
    fn new_blocks(&self) -> broadcast::Receiver<BlockEvent> {
        self.blocks.subscribe()
    }
    fn sync_status(&self) -> Option<SyncStatus> {
        *self.sync.lock()
    }
    fn status(&self) -> NodeStatus {
        NodeStatus {
            sequencer: SequencerStatus { mode: "single", leader: true, paused: None },
            da_head: Some(DaRef { height: 9, hash: B256::repeat_byte(0xdb) }),
            problems: Vec::new(),
        }
    }

    fn remote(&self, _domain: u32) -> Option<Arc<dyn ChainReader>> {
        None
    }

    fn remote_verified(&self, _domain: u32) -> Option<u64> {
        None
    }

    fn verified(&self) -> Option<Verified> {
        None
    }
}
