//! A small DA chain, and what derivation makes of it, for this crate's own tests.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, keccak256};
use causeway_chainspec::spec::{
    DaSpec, Fees, Gas, GenesisSpec, KeyChange, Kind, MetalayerSpec, Public, SequencerSpec, Token,
};
use causeway_chainspec::{
    BlockBody, ChainSpec, Claim, DaEntry, DaRef, ForcedCut, Fork, PostedSpan, Seal, SealContext,
    Span, SpanBlock, StateError, Takeover, Tx, TxEnvelope,
};

use crate::SealError;
use crate::derive::{Cursor, Derived, Dropped, Step, derive};
use crate::plan::{Offer, plan};
use crate::rules::{ClaimError, DerivedAt, History, Tip};

/// Time of the first DA block and of genesis, ms.
pub(crate) const T0: u64 = 1_000_000;
/// Time between DA blocks, ms.
pub(crate) const INTERVAL: u64 = 100;
/// Height of the first DA block.
pub(crate) const START: u64 = 10;

/// Window 8 s, drift 0.4 s, forced delay 0.8 s; a block holds four small forced entries.
pub(crate) fn spec() -> ChainSpec {
    let keys = vec![KeyChange { from_ms: 0, keys: vec![Address::repeat_byte(1)] }];
    ChainSpec {
        name: "test".into(),
        short_name: "test".into(),
        chain_id: 7,
        kind: Kind::Devnet,
        vm: "ledger".into(),
        gas: Gas {
            limit: 100_000,
            rate: 1_000,
            burst: 100_000,
            target: 500,
            rate_bytes: 100,
            burst_bytes: 10_000,
            limit_bytes: 10_000,
            limit_candidates: 8,
        },
        fees: Fees { min_base_fee: 1, floor: 0, denominator: 1_000, recipient: Address::ZERO },
        token: Token { name: "Ether".into(), symbol: "ETH".into(), decimals: 18 },
        forks: vec![(Fork::Prague, 0)],
        da: DaSpec {
            layer: "memory".into(),
            interval_ms: INTERVAL,
            start: START,
            options: Default::default(),
        },
        sequencer: SequencerSpec {
            mode: "single".into(),
            keys: keys.clone(),
            posters: keys,
            window_ms: 8_000,
            drift_ms: 400,
            forced_delay_ms: 800,
            lane_rate: 1_000,
            block_time_ms: 100,
            idle_ms: 1_000,
            options: Default::default(),
        },
        genesis: GenesisSpec { time_ms: T0, alloc: BTreeMap::new(), preinstalls: Vec::new() },
        metalayer: MetalayerSpec::none(7),
        public: Public::default(),
        memo: Default::default(),
    }
}

/// The claim of block 0.
pub(crate) fn genesis(spec: &ChainSpec) -> Claim {
    let body = BlockBody::default();
    Claim {
        identity: spec.identity(),
        number: 0,
        term: 0,
        parent: B256::ZERO,
        time_ms: T0,
        origin: None,
        cut: ForcedCut::default(),
        anchors: Vec::new(),
        inbound_root: body.inbound_root(),
        candidates_root: body.candidates_root(),
        takeover: None,
    }
}

/// A transaction whose signature nobody looks at again.
pub(crate) fn tx(sender: u8, nonce: u64, tip: u128, fee: u128, size: usize) -> Arc<Tx> {
    let inner = TxEip1559 {
        chain_id: 7,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: fee,
        max_priority_fee_per_gas: tip,
        to: TxKind::Call(Address::repeat_byte(sender)),
        value: U256::ONE,
        access_list: Default::default(),
        input: vec![sender; size].into(),
    };
    let envelope = TxEnvelope::Eip1559(inner.into_signed(Signature::test_signature()));
    let raw = Bytes::from(envelope.encoded_2718());
    Arc::new(Tx { hash: keccak256(&raw), raw, sender: Address::repeat_byte(sender), envelope })
}

/// The seal that [`check_seal`] accepts over a claim.
pub(crate) fn seal(claim: &Claim) -> Seal {
    Seal { view: 0, proof: claim.hash().to_vec().into() }
}

fn check_seal(_: &SealContext, claim: &Claim, seal: &Seal) -> Result<(), SealError> {
    let good = seal.proof.as_ref() == claim.hash().as_slice();
    if good { Ok(()) } else { Err(SealError::Malformed("not the claim's hash")) }
}

/// A node that derives: cursors by DA height, safe chain, and what happened.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) spec: ChainSpec,
    pub(crate) cursors: Vec<Cursor>,
    pub(crate) entries: Vec<DaEntry>,
    pub(crate) safe: Vec<B256>,
    pub(crate) steps: Vec<Step>,
    pub(crate) dropped: Vec<Dropped>,
    /// Every block that something was built on.
    parents: RefCell<BTreeMap<B256, Tip>>,
}

impl History for Node {
    fn derived_at(&self, height: u64) -> Result<Option<DerivedAt>, StateError> {
        let found = self.cursors.iter().find(|cursor| cursor.da.height == height);
        Ok(found.map(Cursor::derived_at))
    }

    fn safe_claim(&self, number: u64) -> Result<Option<B256>, StateError> {
        Ok(self.safe.get(number as usize).copied())
    }

    fn safe_tip(&self, number: u64) -> Result<Option<Tip>, StateError> {
        let step = self.steps.iter().find(|step| step.claim.number == number);
        let genesis = || (number == 0).then(|| Tip::of(&genesis(&self.spec)));
        Ok(step.map(|step| Tip::of(&step.claim)).or_else(genesis))
    }
}

impl Node {
    pub(crate) fn new(spec: ChainSpec) -> Self {
        let genesis = genesis(&spec);
        let first = entry(DaRef { height: START - 1, hash: B256::ZERO }, T0, vec![], vec![]);
        let cursor = Cursor::start(&spec, &genesis, &first);
        Self {
            safe: vec![genesis.hash()],
            cursors: vec![cursor],
            entries: Vec::new(),
            steps: Vec::new(),
            dropped: Vec::new(),
            parents: RefCell::default(),
            spec,
        }
    }

    pub(crate) fn cursor(&self) -> &Cursor {
        self.cursors.last().expect("starts with one")
    }

    /// A block may be the parent of a span's first.
    pub(crate) fn knows(&self, parent: &Tip) {
        self.parents.borrow_mut().insert(parent.claim, parent.clone());
    }

    /// A span of blocks that this node built, with the right seal.
    pub(crate) fn span(&self, blocks: &[SpanBlock]) -> PostedSpan {
        let parent = self.parents.borrow()[&blocks[0].claim.parent].clone();
        let span = Span {
            identity: self.spec.identity(),
            rules_hash: B256::ZERO,
            parent,
            blocks: blocks.to_vec(),
            seal: seal(&blocks.last().expect("a span has blocks").claim),
            last_header: B256::ZERO,
        };
        span.posted().expect("each block is on the one before")
    }

    /// The next DA block, derived.
    pub(crate) fn da(
        &mut self,
        time_ms: u64,
        spans: Vec<PostedSpan>,
        forced: Vec<Bytes>,
    ) -> Derived {
        self.read(entry(self.cursor().da, time_ms, spans, forced))
    }

    pub(crate) fn read(&mut self, entry: DaEntry) -> Derived {
        let derived =
            derive(&self.spec, self.cursor(), &entry, self, &check_seal).expect("entry is next");
        self.safe.extend(derived.steps.iter().map(|step| step.hash));
        self.steps.extend(derived.steps.iter().cloned());
        self.dropped.extend(derived.dropped.iter().cloned());
        self.cursors.push(derived.cursor.clone());
        self.entries.push(entry);
        derived
    }

    /// Empty DA blocks at the usual interval until `time_ms` is reached.
    pub(crate) fn idle_until(&mut self, time_ms: u64) {
        while self.cursor().time_ms + INTERVAL <= time_ms {
            self.da(self.cursor().time_ms + INTERVAL, vec![], vec![]);
        }
    }

    /// A block on `parent` as the sequencer plans it.
    pub(crate) fn build(
        &self,
        parent: &Tip,
        time_ms: u64,
        takeover: Option<Takeover>,
    ) -> SpanBlock {
        self.knows(parent);
        let candidates = vec![tx(1, parent.number, 1, 1, 0)];
        let offer = Offer { takeover, candidates, ..Offer::default() };
        let plan = plan(&self.spec, parent, self.cursor(), time_ms, offer);
        let plan = plan.expect("parent is on this chain");
        SpanBlock { claim: plan.claim, body: plan.body }
    }

    /// Blocks every `INTERVAL` from `time_ms` on.
    pub(crate) fn chain(&self, parent: &Tip, time_ms: u64, count: u64) -> Vec<SpanBlock> {
        let mut tip = parent.clone();
        (0..count)
            .map(|index| {
                let block = self.build(&tip, time_ms + index * INTERVAL, None);
                tip = Tip::of(&block.claim);
                block
            })
            .collect()
    }

    /// The rule the last dropped claim broke.
    pub(crate) fn last_error(&self) -> Option<ClaimError> {
        self.dropped.iter().rev().find_map(|dropped| match dropped {
            Dropped::Claim { error, .. } => Some(error.clone()),
            _ => None,
        })
    }
}

/// A DA block after another.
pub(crate) fn entry(
    parent: DaRef,
    time_ms: u64,
    spans: Vec<PostedSpan>,
    forced: Vec<Bytes>,
) -> DaEntry {
    let height = parent.height + 1;
    let mut preimage = parent.hash.to_vec();
    preimage.extend_from_slice(&height.to_be_bytes());
    preimage.extend_from_slice(&time_ms.to_be_bytes());
    for span in &spans {
        preimage.extend_from_slice(&span.seal.proof);
    }
    for bytes in &forced {
        preimage.extend_from_slice(keccak256(bytes).as_slice());
    }
    DaEntry {
        da: DaRef { height, hash: keccak256(preimage) },
        parent: parent.hash,
        time_ms,
        spans,
        forced,
        keys: Vec::new(),
    }
}
