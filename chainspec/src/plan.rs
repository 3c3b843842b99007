//! The whole input of one block's execution, and protocol code that runs inside every block.

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, U256, address};

use crate::batch::ForcedEntry;
use crate::block::{BlockBody, Claim};
use crate::message::{LaneItem, Message};
use crate::spec::Fork;
use crate::state::{Account, StateDiff, StateError, StateReader};
use crate::tx::{SkipReason, Tx};

/// Account whose storage holds what the protocol carries from block to block.
pub const SYSTEM_ACCOUNT: Address = address!("0xca00000000000000000000000000000000000001");
/// Its slot of the total supply in wei.
pub const SUPPLY_SLOT: U256 = U256::ONE;

/// Blob base fee of a chain without blobs: the least there is (EIP-4844), wei per blob gas.
pub const NO_BLOBS: u128 = 1;

/// Everything a block is made from besides its parent's state. Equal claim hash, equal plan.
#[derive(Debug, Clone)]
pub struct BlockPlan {
    /// The claim.
    pub claim: Claim,
    /// What it commits to by root.
    pub body: BlockBody,
    /// Forced entries between the parent's cut and this one, in lane order.
    pub forced: Vec<ForcedEntry>,
    /// `forced` then `body.candidates`, decoded; bytes that are no transaction say why.
    pub candidates: Vec<Candidate>,
}

/// Bytes somebody wants executed, decoded once.
#[derive(Debug, Clone)]
pub enum Candidate {
    /// A transaction of this chain.
    Tx(Arc<Tx>),
    /// Keccak-256 of bytes that are none, and why.
    Invalid(B256, SkipReason),
}

impl Candidate {
    /// Decodes bytes and recovers the sender.
    pub fn decode(bytes: &Bytes) -> Self {
        match Tx::decode(bytes.clone()) {
            Ok(tx) => Self::Tx(Arc::new(tx)),
            Err(error) => Self::Invalid(alloy_primitives::keccak256(bytes), error.into()),
        }
    }

    /// Decodes an entry of the forced lane, which may also be a message of the parent chain: what
    /// is no such thing does not come so far (see [`crate::l1::entry`]).
    pub fn forced(bytes: &Bytes) -> Self {
        match Tx::message(bytes) {
            Some(message) => Self::Tx(Arc::new(message)),
            None => Self::decode(bytes),
        }
    }
}

impl BlockPlan {
    /// A plan from its parts, decoding every candidate. `known` gives transactions that were
    /// decoded before (by hash of their bytes), so that no sender is recovered twice.
    pub fn new(
        claim: Claim,
        body: BlockBody,
        forced: Vec<ForcedEntry>,
        known: &dyn Fn(B256) -> Option<Arc<Tx>>,
    ) -> Self {
        let decode = |bytes: &Bytes, decode: fn(&Bytes) -> Candidate| {
            let known = known(alloy_primitives::keccak256(bytes));
            known.map_or_else(|| decode(bytes), Candidate::Tx)
        };
        let lane = forced.iter().map(|entry| decode(&entry.bytes, Candidate::forced));
        let own = body.candidates.iter().map(|bytes| decode(bytes, Candidate::decode));
        let candidates = lane.chain(own).collect();
        Self { claim, body, forced, candidates }
    }
}

/// What a VM may know about the block it executes in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockEnv {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Block number.
    pub number: u64,
    /// Unix time in ms; VMs that speak seconds use `time_ms / 1000`.
    pub time_ms: u64,
    /// Rules in force.
    pub fork: Fork,
    /// Fee recipient.
    pub beneficiary: Address,
    /// Gas limit of the header.
    pub gas_limit: u64,
    /// Gas this block may use: the header's limit or what the token bucket holds, the lesser;
    /// more only if forced transactions need it.
    pub gas_available: u64,
    /// Bytes of transactions this block may include.
    pub bytes_available: u64,
    /// Base fee in wei per gas.
    pub base_fee: u64,
    /// `PREVRANDAO`, from Paris on.
    pub mix_hash: B256,
    /// `DIFFICULTY`, before Paris: of foreign blocks only. Zero on our chains.
    pub difficulty: U256,
    /// `BLOBBASEFEE`, wei per blob gas. On our chains, which carry no blobs, [`NO_BLOBS`].
    pub blob_base_fee: u128,
}

/// A call that protocol code makes inside a block: it becomes a transaction of type 0x7E at the
/// block's start, and is never skipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemCall {
    /// Caller.
    pub from: Address,
    /// Callee.
    pub to: Address,
    /// Wei minted to the caller first.
    pub mint: u128,
    /// Wei sent along.
    pub value: U256,
    /// Gas limit.
    pub gas_limit: u64,
    /// Call data.
    pub input: Bytes,
}

/// How a system call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallOutcome {
    /// Ran to its end.
    pub success: bool,
    /// Gas used.
    pub gas_used: u64,
    /// Returned or revert data.
    pub output: Bytes,
}

/// State as protocol code sees it: a snapshot and the changes made on top of it.
pub struct SystemState<'a> {
    reader: &'a dyn StateReader,
    diff: &'a mut StateDiff,
    /// Wei made and unmade so far.
    minted: U256,
    burnt: U256,
}

impl<'a> SystemState<'a> {
    /// Reads through `diff` to `reader`; writes go to `diff`.
    pub fn new(reader: &'a dyn StateReader, diff: &'a mut StateDiff) -> Self {
        Self { reader, diff, minted: U256::ZERO, burnt: U256::ZERO }
    }

    /// Wei that [`SystemState::mint`] made and [`SystemState::burn`] unmade.
    pub fn moved(&self) -> (U256, U256) {
        (self.minted, self.burnt)
    }

    /// Makes wei. An account that did not exist comes to exist.
    pub fn mint(&mut self, address: Address, wei: U256) -> Result<(), StateError> {
        self.credit(address, wei)?;
        self.minted += wei;
        Ok(())
    }

    /// Unmakes wei of an account, which must have them.
    pub fn burn(&mut self, address: Address, wei: U256) -> Result<(), StateError> {
        self.debit(address, wei)?;
        self.burnt += wei;
        Ok(())
    }

    /// Moves wei between accounts; the first must have them. No code runs.
    pub fn pay(&mut self, from: Address, to: Address, wei: U256) -> Result<(), StateError> {
        self.debit(from, wei)?;
        self.credit(to, wei)
    }

    fn credit(&mut self, address: Address, wei: U256) -> Result<(), StateError> {
        if wei.is_zero() {
            return Ok(());
        }
        let account = self.account(address)?.unwrap_or_default();
        let balance = account.balance.checked_add(wei);
        let balance = balance.ok_or_else(|| StateError(format!("{address} overflows")))?;
        self.set_account(address, Account { balance, ..account })
    }

    fn debit(&mut self, address: Address, wei: U256) -> Result<(), StateError> {
        if wei.is_zero() {
            return Ok(());
        }
        let account = self.account(address)?.unwrap_or_default();
        let balance = account.balance.checked_sub(wei);
        let balance = balance.ok_or_else(|| StateError(format!("{address} lacks {wei} wei")))?;
        self.set_account(address, Account { balance, ..account })
    }

    /// The account, or `None` if it does not exist.
    pub fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        match self.diff.accounts.get(&address) {
            Some(diff) => Ok(diff.account),
            None => self.reader.account(address),
        }
    }

    /// A storage slot; zero if unset.
    pub fn slot(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        if let Some(diff) = self.diff.accounts.get(&address) {
            if let Some(value) = diff.storage.get(&slot) {
                return Ok(*value);
            }
            if diff.wiped {
                return Ok(U256::ZERO);
            }
        }
        self.reader.slot(address, slot)
    }

    /// Writes a slot of an account, which must exist (system accounts do from genesis).
    pub fn set_slot(
        &mut self,
        address: Address,
        slot: U256,
        value: U256,
    ) -> Result<(), StateError> {
        self.entry(address)?.storage.insert(slot, value);
        Ok(())
    }

    /// Replaces an account.
    pub fn set_account(&mut self, address: Address, account: Account) -> Result<(), StateError> {
        self.entry(address)?.account = Some(account);
        Ok(())
    }

    fn entry(&mut self, address: Address) -> Result<&mut crate::state::AccountDiff, StateError> {
        let account = self.account(address)?;
        let entry = self.diff.accounts.entry(address).or_default();
        entry.account = account;
        Ok(entry)
    }
}

/// Protocol code inside every block, on every VM: L1 deposits, the Metalayer. Pure and
/// deterministic; its state lives in storage slots of system accounts, so that unwind, history
/// and proofs cover it.
pub trait SystemModule: Send + Sync {
    /// Writes what block 0 starts with. `None` if the module commits to nothing.
    fn genesis(&self, state: &mut SystemState<'_>) -> Result<Option<Closed>, StateError>;

    /// Runs before the first transaction of a block.
    fn open(
        &self,
        state: &mut SystemState<'_>,
        env: &BlockEnv,
        plan: &BlockPlan,
    ) -> Result<Box<dyn SystemBlock>, StateError>;
}

/// A module's work inside one block, between opening and closing it.
pub trait SystemBlock {
    /// Called before the first candidate, in order.
    fn calls(&self) -> Vec<SystemCall>;

    /// Runs after the last transaction. `results` are those of its own calls, `emitted` the
    /// messages that transactions and calls of the block dispatched. At most one module of a
    /// chain gives `Some`.
    fn close(
        self: Box<Self>,
        state: &mut SystemState<'_>,
        results: &[CallOutcome],
        emitted: &[Message],
    ) -> Result<Option<Closed>, StateError>;
}

/// What a module leaves in a block besides state.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Closed {
    /// The block's Metalayer commitment.
    pub commitment: B256,
    /// What the block sends to other members, in lane order.
    pub outbox: Vec<LaneItem>,
}
