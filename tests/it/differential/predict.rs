//! What a block must come to, by the model: the protocol's own writes around what a machine does.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_eips::eip2935::{HISTORY_STORAGE_ADDRESS, HISTORY_STORAGE_CODE};
use alloy_eips::eip4788::{BEACON_ROOTS_ADDRESS, BEACON_ROOTS_CODE};
use alloy_primitives::{Address, B256, Bloom, Bytes, Log, U256, address, keccak256};
use alloy_rlp::Encodable;
use alloy_trie::root::ordered_trie_root_encoded;
use causeway_chainspec::mailbox::{CODE, FEE_VAULT, MAILBOX};
use causeway_chainspec::{CallOutcome, ChainSpec, Claim, Fork, Receipt, SkipReason, Tx};
use eyre::{ContextCompat, WrapErr, ensure};
use op_alloy_consensus::TxDeposit;

use super::machine::{Head, Machine, Model, Verdict, is_true};
use super::state::{Entry, State};
use super::world::{BEGUN, NOTE, TICK, TICKER, World, calls, contract, mailbox_slots, note};

const SYSTEM: Address = address!("0xca00000000000000000000000000000000000001");
const FEE_SLOT: U256 = U256::ZERO;
const SUPPLY_SLOT: U256 = U256::ONE;

/// What a node says it left out of a block, by the hash of its bytes.
pub(super) type Skipped = Vec<(B256, SkipReason)>;

/// A block as the model has it.
pub(super) struct Predicted {
    pub(super) head: Head,
    pub(super) state: State,
    pub(super) txs: Vec<Arc<Tx>>,
    pub(super) receipts: Vec<Receipt>,
    /// Hashes of what is left out, in order.
    pub(super) skipped: Vec<B256>,
    /// State before the first candidate and after the last, without the protocol's last words.
    pub(super) before: State,
    pub(super) after: State,
    /// Candidates that the machine was asked to run, and what it said.
    pub(super) tried: Vec<(Bytes, Option<Receipt>)>,
    /// Contracts that ceased to exist.
    pub(super) destroyed: u64,
}

/// Four words of the fee slot: excess gas, gas and bytes left in the buckets, time.
#[derive(Debug, Clone, Copy)]
struct Fees([u64; 4]);

impl Fees {
    fn of(state: &State) -> Self {
        let word = state.slot(SYSTEM, FEE_SLOT).to_be_bytes::<32>();
        let limb = |at: usize| u64::from_be_bytes(word[at..at + 8].try_into().expect("8 bytes"));
        Self([limb(0), limb(8), limb(16), limb(24)])
    }

    fn word(self) -> U256 {
        self.0.iter().fold(U256::ZERO, |word, limb| word << 64 | U256::from(*limb))
    }

    /// Time goes on: buckets fill, excess drains.
    fn at(self, spec: &ChainSpec, time_ms: u64) -> Self {
        let Self([excess, gas, bytes, before]) = self;
        let (elapsed, rules) = (time_ms - before, &spec.gas);
        let fill = |left: u64, rate: u64, most: u64| (left + rate * elapsed).min(most);
        Self([
            excess.saturating_sub(rules.target * elapsed),
            fill(gas, rules.rate, rules.burst),
            fill(bytes, rules.rate_bytes, rules.burst_bytes),
            time_ms,
        ])
    }

    /// The series of EIP-4844's `fake_exponential`.
    fn base_fee(self, spec: &ChainSpec) -> u64 {
        let denominator = U256::from(spec.fees.denominator);
        let (mut sum, mut at) = (U256::ZERO, U256::ONE);
        let mut term = U256::from(spec.fees.min_base_fee) * denominator;
        while !term.is_zero() {
            sum += term;
            term = term * U256::from(self.0[0]) / (denominator * at);
            at += U256::ONE;
        }
        (sum / denominator).saturating_to::<u64>().max(spec.fees.floor)
    }
}

/// State and environment of block 0.
pub(super) fn genesis(world: &World) -> (State, Head) {
    let spec = &world.spec;
    let mut state = State::default();
    for (address, account) in &spec.genesis.alloc {
        let (nonce, balance, code) = (account.nonce, account.balance, account.code.clone());
        let storage = account.storage.clone();
        state.0.insert(*address, Entry { nonce, balance, code, storage });
    }
    let mut own = vec![
        (SYSTEM, Bytes::from_static(&[0xfe])),
        (HISTORY_STORAGE_ADDRESS, HISTORY_STORAGE_CODE.clone()),
        (BEACON_ROOTS_ADDRESS, BEACON_ROOTS_CODE.clone()),
        (TICKER, Bytes::new()),
    ];
    if spec.metalayer.enabled {
        own.push((MAILBOX, Bytes::from_static(CODE)));
    }
    for (address, code) in own {
        state.0.insert(address, Entry { nonce: 1, code, ..Default::default() });
    }
    if spec.metalayer.enabled {
        for (slot, value) in mailbox_slots(spec.metalayer.coin) {
            state.set(MAILBOX, slot, value);
        }
    }
    let fees = Fees([0, spec.gas.burst, spec.gas.burst_bytes, spec.genesis.time_ms]);
    state.set(SYSTEM, FEE_SLOT, fees.word());
    state.set(SYSTEM, SUPPLY_SLOT, state.supply());
    let base_fee = fees.base_fee(spec);
    let head = head(spec, (0, spec.genesis.time_ms, B256::ZERO), base_fee, Arc::default());
    (state, head)
}

fn head(
    spec: &ChainSpec,
    (number, time_ms, parent): (u64, u64, B256),
    base_fee: u64,
    hashes: Arc<Vec<B256>>,
) -> Head {
    let begun = spec.forks.iter().rfind(|(_, at)| *at <= time_ms / 1000);
    Head {
        chain_id: spec.chain_id,
        number,
        time_ms,
        fork: begun.map_or(Fork::Paris, |(fork, _)| *fork),
        beneficiary: spec.fees.recipient,
        gas_limit: spec.gas.limit,
        base_fee,
        mix_hash: keccak256([parent.as_slice(), &number.to_be_bytes()].concat()),
        hashes,
    }
}

/// The block in which a claim's transactions run, on the state of its parent.
pub(super) fn next(
    spec: &ChainSpec,
    parent: &State,
    claim: &Claim,
    hashes: Arc<Vec<B256>>,
) -> Head {
    let base_fee = Fees::of(parent).at(spec, claim.time_ms).base_fee(spec);
    head(spec, (claim.number, claim.time_ms, claim.parent), base_fee, hashes)
}

/// Gas and bytes left in a block.
struct Room {
    gas: u64,
    bytes: u64,
}

impl Room {
    fn lacks(&self, tx: &Tx) -> bool {
        use alloy_consensus::Transaction;
        tx.envelope.gas_limit() > self.gas || tx.raw.len() as u64 > self.bytes
    }

    fn explains(&self, reason: &SkipReason, tx: &Tx) -> bool {
        use alloy_consensus::Transaction;
        match *reason {
            SkipReason::BlockFull { have, left } => {
                have == tx.envelope.gas_limit() && left == self.gas && have > left
            }
            SkipReason::BytesFull { have, left } => {
                have == tx.raw.len() as u64 && left == self.bytes && have > left
            }
            _ => false,
        }
    }
}

/// Follows a block: `claim` on the parent's state, and these candidates. What the node says of
/// those it left out is checked where they stood.
pub(super) fn follow(
    world: &World,
    model: &dyn Model,
    parent: (&State, Arc<Vec<B256>>),
    claim: &Claim,
    candidates: &[Bytes],
    reported: &Skipped,
) -> eyre::Result<Predicted> {
    let spec = &world.spec;
    let (before, hashes) = parent;
    let head = next(spec, before, claim, hashes);
    let mut state = before.clone();
    open(&mut state, &head);
    let opened = state.supply();
    let fees = Fees::of(before).at(spec, head.time_ms);
    let room =
        Room { gas: spec.gas.limit.min(fees.0[1]), bytes: spec.gas.limit_bytes.min(fees.0[2]) };
    let machine = model.open(state, &head);
    let mut walk = Walk::new(&head, room, machine);
    let (outcomes, minted) = walk.system_calls(world, claim)?;
    let begun = walk.machine.state();
    let mut explained = BTreeMap::new();
    for bytes in candidates {
        walk.candidate(bytes, reported, &mut explained)
            .wrap_err_with(|| format!("candidate {bytes}"))?;
    }
    for (hash, reason) in reported {
        ensure!(
            explained.get(hash) == Some(&true),
            "{hash} was skipped: {reason}, which is not so"
        );
    }
    let Walk { machine, txs, receipts, skipped, tried, .. } = walk;
    let after = machine.state();
    let mut state = after.clone();
    let burnt = opened + minted - state.supply();
    close(&mut state, &head, &outcomes);
    let used = receipts.iter().map(|receipt| receipt.gas_used).sum::<u64>();
    let bytes = txs[outcomes.len()..].iter().map(|tx| tx.raw.len() as u64).sum::<u64>();
    let Fees([excess, gas, left, time]) = fees;
    let fees = Fees([excess + used, gas.saturating_sub(used), left.saturating_sub(bytes), time]);
    state.set(SYSTEM, FEE_SLOT, fees.word());
    if spec.metalayer.keeps_fees() {
        state.mint(FEE_VAULT, burnt);
    }
    state.set(SYSTEM, SUPPLY_SLOT, state.supply());
    let (before, destroyed) = (begun, machine.destroyed());
    drop(machine);
    Ok(Predicted { head, state, txs, receipts, skipped, before, after, tried, destroyed })
}

/// The ring buffers of EIP-2935 and EIP-4788, then the module's own.
fn open(state: &mut State, head: &Head) {
    let parent = head.number - 1;
    let hash = head.hashes[parent as usize];
    state.set(HISTORY_STORAGE_ADDRESS, U256::from(parent % 8191), hash.into());
    let seconds = head.time_ms / 1000;
    state.set(BEACON_ROOTS_ADDRESS, U256::from(seconds % 8191), U256::from(seconds));
    state.mint(TICKER, U256::from(TICK.0));
    let count = state.slot(TICKER, U256::ZERO);
    state.set(TICKER, U256::ZERO, count + U256::ONE);
    if state.0.get(&contract(0)).is_some_and(|entry| !entry.code.is_empty()) {
        state.set(contract(0), BEGUN, U256::from(head.number));
    }
}

fn close(state: &mut State, head: &Head, outcomes: &[CallOutcome]) {
    let ticker = state.0.get_mut(&TICKER).expect("it has a nonce");
    ticker.balance -= U256::from(TICK.1).min(ticker.balance);
    if state.0.get(&contract(0)).is_some_and(|entry| !entry.code.is_empty()) {
        state.set(contract(0), NOTE, note(head.number, outcomes));
    }
}

/// On the way through a block's transactions.
struct Walk<'a> {
    head: &'a Head,
    room: Room,
    machine: Box<dyn Machine>,
    txs: Vec<Arc<Tx>>,
    receipts: Vec<Receipt>,
    skipped: Vec<B256>,
    tried: Vec<(Bytes, Option<Receipt>)>,
}

impl<'a> Walk<'a> {
    fn new(head: &'a Head, room: Room, machine: Box<dyn Machine>) -> Self {
        let (txs, receipts, skipped, tried) = Default::default();
        Self { head, room, machine, txs, receipts, skipped, tried }
    }

    fn system_calls(
        &mut self,
        world: &World,
        claim: &Claim,
    ) -> eyre::Result<(Vec<CallOutcome>, U256)> {
        let (mut outcomes, mut minted) = (Vec::new(), U256::ZERO);
        for (index, call) in
            calls(&world.people, claim.number, claim.parent).into_iter().enumerate()
        {
            let mut source = keccak256("causeway/system-call/1").to_vec();
            source.extend_from_slice(claim.parent.as_slice());
            source.extend_from_slice(&claim.number.to_be_bytes());
            source.extend_from_slice(&(index as u64).to_be_bytes());
            let tx = Tx::deposit(TxDeposit {
                source_hash: keccak256(source),
                from: call.from,
                to: call.to.into(),
                mint: call.mint,
                value: call.value,
                gas_limit: call.gas_limit,
                is_system_transaction: false,
                input: call.input,
            });
            minted += U256::from(call.mint);
            let Verdict::Ran(receipt, output) = self.machine.run(&tx) else {
                eyre::bail!("the model refused a deposit")
            };
            let (success, gas_used) = (receipt.success, receipt.gas_used);
            outcomes.push(CallOutcome { success, gas_used, output });
            self.room.gas = self.room.gas.saturating_sub(gas_used);
            self.include(Arc::new(tx), receipt);
        }
        Ok((outcomes, minted))
    }

    fn include(&mut self, tx: Arc<Tx>, mut receipt: Receipt) {
        let before = self.receipts.last().map_or(0, |receipt| receipt.cumulative_gas_used);
        receipt.cumulative_gas_used = before + receipt.gas_used;
        self.txs.push(tx);
        self.receipts.push(receipt);
    }

    fn candidate(
        &mut self,
        bytes: &Bytes,
        reported: &Skipped,
        explained: &mut BTreeMap<B256, bool>,
    ) -> eyre::Result<()> {
        let hash = keccak256(bytes);
        let mut reasons = reported.iter().filter(|(found, _)| *found == hash).map(|(_, why)| why);
        let tx = match Tx::decode(bytes.clone()) {
            Ok(tx) => tx,
            Err(error) => {
                let told = reasons.any(|reason| *reason == SkipReason::Undecodable(error));
                ensure!(told, "no transaction, {error}, and the node does not say so");
                explained.insert(hash, true);
                self.skipped.push(hash);
                return Ok(());
            }
        };
        let is_so = reasons.any(|reason| {
            self.room.explains(reason, &tx) || is_true(reason, &tx, self.head, &mut *self.machine)
        });
        let verdict = if self.room.lacks(&tx) {
            Verdict::Refused("the block is full".into())
        } else {
            let verdict = self.machine.run(&tx);
            let receipt =
                if let Verdict::Ran(receipt, _) = &verdict { Some(receipt) } else { None };
            self.tried.push((bytes.clone(), receipt.cloned()));
            verdict
        };
        match verdict {
            Verdict::Ran(receipt, _) => {
                self.room.gas -= receipt.gas_used;
                self.room.bytes -= bytes.len() as u64;
                self.include(Arc::new(tx), receipt);
            }
            Verdict::Refused(why) => {
                let said: Vec<_> = reported.iter().filter(|(found, _)| *found == hash).collect();
                said.first().wrap_err_with(|| format!("the node took it; the model: {why}"))?;
                *explained.entry(hash).or_default() |= is_so;
                self.skipped.push(hash);
            }
        }
        Ok(())
    }
}

/// Bloom of these logs.
pub(super) fn bloom<'a>(logs: impl IntoIterator<Item = &'a Log>) -> Bloom {
    logs.into_iter().fold(Bloom::ZERO, |mut bloom, log| {
        bloom.accrue_log(log);
        bloom
    })
}

/// Root of the receipts trie, each written out by hand (EIP-2718; deposits as OP since Canyon).
pub(super) fn receipts_root(txs: &[Arc<Tx>], receipts: &[Receipt]) -> B256 {
    let leaf = |(tx, receipt): (&Arc<Tx>, &Receipt)| {
        let mut fields = Vec::new();
        receipt.success.encode(&mut fields);
        receipt.cumulative_gas_used.encode(&mut fields);
        bloom(&receipt.logs).encode(&mut fields);
        receipt.logs.encode(&mut fields);
        if tx.is_deposit() {
            receipt.deposit_nonce.encode(&mut fields);
            1u64.encode(&mut fields);
        }
        let kind = tx.envelope.tx_type() as u8;
        let mut out = if kind == 0 { Vec::new() } else { vec![kind] };
        alloy_rlp::Header { list: true, payload_length: fields.len() }.encode(&mut out);
        out.extend_from_slice(&fields);
        out
    };
    ordered_trie_root_encoded(&txs.iter().zip(receipts).map(leaf).collect::<Vec<_>>())
}

/// Root of the transactions trie.
pub(super) fn transactions_root(txs: &[Arc<Tx>]) -> B256 {
    ordered_trie_root_encoded(&txs.iter().map(|tx| tx.raw.clone()).collect::<Vec<_>>())
}
