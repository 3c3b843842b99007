//! Opening a datadir: genesis, and the log's entries above what the store holds.

use std::collections::hash_map::Entry as Slot;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use alloy_consensus::Transaction;
use alloy_primitives::{Address, Bytes, keccak256};
use causeway_chainspec::{SealTuple, StateReader, crash};

use super::execute::Rules;
use super::snapshot::Picture;
use super::{Pipeline, Recovered};
use crate::ExecutionError;
use crate::disk::Folder;
use crate::log::{Accepted, BlockEntry, Entry, Log, Record, UnwindEntry};
use crate::store::{Batch, Store, View};

/// Newest records of the sequencer that truncation never drops, whatever is final: a record may
/// count until a block of a later term is final, and the pipeline does not read them.
const KEPT_VOTES: usize = if cfg!(test) { 8 } else { 1024 };

/// What the store holds; genesis is executed and committed if it
/// is new. A store that lost its blocks never gets here: it is refused when it is opened.
pub(super) fn first_picture(store: &Store, rules: &Rules) -> Result<Picture, ExecutionError> {
    if let Some(picture) = Picture::of(store.view()?)? {
        return Ok(picture);
    }
    let genesis = rules.genesis()?;
    let blocks = vec![genesis.executed];
    crash::point("genesis.before");
    store.commit(&Batch { blocks, safe: Some(0), finalized: Some(0), ..Default::default() })?;
    crash::point("genesis.after");
    let lost = || ExecutionError::Broken("the store does not hold what it was given".into());
    Picture::of(store.view()?)?.ok_or_else(lost)
}

/// That a log is there if the store was written behind one: none is made in place of a lost one.
pub(super) fn has_log(folder: &Folder, picture: &Picture) -> Result<(), ExecutionError> {
    let from = picture.view.log_offset()?;
    if from == 0 || Log::is_in(folder)? { Ok(()) } else { Err(apart((0, 0), from)) }
}

fn apart((start, end): (u64, u64), from: u64) -> ExecutionError {
    ExecutionError::Damaged(format!(
        "the log holds offsets {start} to {end}, the store was written up to {from}; restore both \
         from one backup, or move the datadir away and derive the chain again from DA"
    ))
}

/// What the log still knows besides blocks, by age; copies of one entry count once.
#[derive(Default)]
struct Kept {
    accepted: BTreeMap<u64, Accepted>,
    votes: BTreeMap<u64, Bytes>,
    signed: BTreeMap<u64, SealTuple>,
}

impl Pipeline {
    /// Applies the log's entries the store does not hold, and collects what the log alone knows.
    pub(super) fn replay(&self) -> Result<Recovered, ExecutionError> {
        let core = &self.core;
        let from = core.picture().view.log_offset()?;
        if core.log.end() < from || core.log.start() > from {
            return Err(apart((core.log.start(), core.log.end()), from));
        }
        crash::point("replay.before");
        let mut kept = Kept::default();
        core.log.replay(0, &mut |record| match record.entry {
            Entry::Accepted(accepted) => {
                kept.accepted.insert(record.first, accepted);
                Ok(())
            }
            Entry::Signed(tuple) => {
                kept.signed.insert(record.first, tuple);
                Ok(())
            }
            Entry::Vote(vote) => {
                kept.votes.insert(record.first, vote);
                Ok(())
            }
            entry => {
                if let Entry::Block(block) = &entry {
                    kept.signed.extend(block.signed.iter().map(|tuple| (record.first, *tuple)));
                }
                if record.offset < from {
                    return Ok(());
                }
                self.redo(entry, record.end)?;
                crash::point("replay.entry");
                Ok(())
            }
        })?;
        crash::point("replay.after");
        let snapshot = self.snapshot();
        let mut recovered = Recovered {
            last_signed: kept.signed.last_key_value().map(|(_, tuple)| *tuple),
            votes: kept.votes.into_values().collect(),
            ..Default::default()
        };
        let mut seen = HashSet::new();
        for accepted in kept.accepted.into_values() {
            let hash = keccak256(&accepted.raw);
            if seen.insert(hash) && !snapshot.has_tx(hash)? {
                recovered.accepted.push(Arc::new(accepted.tx()?));
            }
        }
        Ok(recovered)
    }

    /// Does again what an entry says was done.
    fn redo(&self, entry: Entry, end: u64) -> Result<(), ExecutionError> {
        match entry {
            Entry::Block(entry) => self.redo_block(*entry, end),
            Entry::Unwind(UnwindEntry { to, claim }) => {
                let id = self.core.picture().id(to)?;
                if id.is_none_or(|id| id.claim != claim) {
                    return Err(ExecutionError::Damaged(format!(
                        "the log goes back to block {to}, {claim}, which is not in the store"
                    )));
                }
                self.apply_unwind(to, end)
            }
            Entry::Derived(entry) => self.apply_derived(entry, end),
            Entry::Underive(entry) => self.apply_underive(entry, end),
            Entry::Accepted(_) | Entry::Signed(_) | Entry::Vote(_) | Entry::Publish(_) => Ok(()),
        }
    }

    fn redo_block(&self, entry: BlockEntry, end: u64) -> Result<(), ExecutionError> {
        let number = entry.claim.number;
        let block = self.execute(entry.plan()?)?;
        if block.hash != entry.hash {
            return Err(ExecutionError::Damaged(format!(
                "block {number} was {} when it was logged and is {} now: this binary or its spec \
                 is not the one that made it, or state is damaged; nothing was changed",
                entry.hash, block.hash
            )));
        }
        let latest = self.core.picture().heads.latest;
        if entry.claim.parent != latest.claim {
            return Err(ExecutionError::Damaged(format!(
                "logged block {number} does not follow block {}",
                latest.number
            )));
        }
        let layer = self
            .core
            .executed(block.claim_hash)
            .ok_or_else(|| ExecutionError::Broken("a block just executed is not there".into()))?;
        self.apply_block(layer, entry.seal.into_iter().next(), end)
    }
}

/// Chooses the entries that must outlive their segment: transactions neither in a final block nor
/// overtaken by one, the newest signature (without its block), the newest intent to publish, votes
/// since the last final block and the newest [`KEPT_VOTES`] of the older ones.
pub(super) fn still_needed(
    view: &View,
    records: Vec<Record>,
) -> Result<Vec<Record>, ExecutionError> {
    let Some(heads) = view.heads()? else { return Ok(records) };
    let finalized = heads.finalized.number;
    let state: Option<Arc<dyn StateReader>> = if finalized == heads.latest.number {
        Some(Arc::new(view.clone()))
    } else {
        view.at(finalized)?.map(|view| Arc::new(view) as Arc<dyn StateReader>)
    };
    let newest = |kind: fn(&Entry) -> bool| {
        records.iter().filter(|record| kind(&record.entry)).map(|record| record.first).max()
    };
    let signed = newest(|entry| match entry {
        Entry::Signed(_) => true,
        Entry::Block(block) => !block.signed.is_empty(),
        _ => false,
    });
    let published = newest(|entry| matches!(entry, Entry::Publish(_)));
    let is_final = |record: &&Record| match &record.entry {
        Entry::Block(block) => block.claim.number <= finalized,
        _ => false,
    };
    let settled = records.iter().filter(is_final).map(|record| record.first).max().unwrap_or(0);
    let mut votes: Vec<u64> = records
        .iter()
        .filter(|record| matches!(record.entry, Entry::Vote(_)))
        .map(|record| record.first)
        .collect();
    votes.sort_unstable();
    let oldest_vote = votes.iter().rev().nth(KEPT_VOTES - 1).copied().unwrap_or(0);
    let mut kept = Vec::new();
    let mut nonces = HashMap::new();
    for mut record in records {
        if let Entry::Block(block) = &record.entry
            && let Some(tuple) = block.signed.first()
        {
            record.entry = Entry::Signed(*tuple);
        }
        let keep = match &record.entry {
            Entry::Accepted(accepted) => {
                is_live(view, state.as_deref(), finalized, accepted, &mut nonces)?
            }
            Entry::Vote(_) => record.first >= settled.min(oldest_vote),
            Entry::Signed(_) => Some(record.first) == signed,
            Entry::Publish(_) => Some(record.first) == published,
            _ => false,
        };
        if keep {
            kept.push(record);
        }
    }
    Ok(kept)
}

/// Whether a transaction is neither overtaken nor in a final block. `nonces` are those of the final
/// state that were asked for already.
fn is_live(
    view: &View,
    state: Option<&dyn StateReader>,
    finalized: u64,
    accepted: &Accepted,
    nonces: &mut HashMap<Address, u64>,
) -> Result<bool, ExecutionError> {
    let tx = accepted.tx()?;
    if let Some(state) = state {
        let next = match nonces.entry(accepted.sender) {
            Slot::Occupied(next) => *next.get(),
            Slot::Vacant(slot) => {
                let account = state.account(accepted.sender)?;
                *slot.insert(account.map_or(0, |account| account.nonce))
            }
        };
        if tx.envelope.nonce() < next {
            return Ok(false);
        }
    }
    Ok(view.tx(tx.hash)?.is_none_or(|(number, _)| number > finalized))
}
