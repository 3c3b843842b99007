//! An in-memory layer with injectable faults, for tests: deterministic, and driven by hand.

use std::sync::Arc;

use alloy_primitives::{B256, Bytes, keccak256};
use async_trait::async_trait;
use causeway_chainspec::{DaRef, KeyUpdate};
use parking_lot::Mutex;

use crate::{DaBackend, DaBlock, DaError, DaFee, DaHeads, DaLimits};

/// How a layer behaves when nothing is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryConfig {
    /// Time of block 0, ms.
    pub genesis_time_ms: u64,
    /// A block is final when so many follow it.
    pub final_depth: u64,
    /// Most bytes of one blob, and of one forced entry.
    pub max_blob_bytes: usize,
    /// Most bytes of one submission.
    pub max_submission_bytes: usize,
    /// Some: whatever is submitted gets a block of its own at once, so many ms after the last.
    /// None: blocks are made by [`MemoryDa::produce`] alone.
    pub auto_ms: Option<u64>,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self {
            genesis_time_ms: 0,
            final_depth: 2,
            max_blob_bytes: 128 << 10,
            max_submission_bytes: 1 << 20,
            auto_ms: None,
        }
    }
}

/// A layer in memory. Clones share it: give one to each node of a test.
#[derive(Debug, Clone)]
pub struct MemoryDa {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    config: MemoryConfig,
    blocks: Vec<DaBlock>,
    blobs: Vec<Bytes>,
    forced: Vec<Bytes>,
    keys: Vec<KeyUpdate>,
    /// Blobs that come a second time, in the block after the next.
    echoes: Vec<Bytes>,
    faults: Faults,
    reorgs: u64,
    pruned_below: u64,
    wei_per_byte: u128,
}

/// How often each fault still happens.
#[derive(Debug, Default)]
struct Faults {
    outage: u64,
    lost_answers: u64,
    dropped: u64,
    duplicated: u64,
}

/// Takes one from a count, if it is not zero.
fn due(count: &mut u64) -> bool {
    let due = *count > 0;
    *count = count.saturating_sub(1);
    due
}

impl MemoryDa {
    /// A layer with block 0.
    pub fn new(config: MemoryConfig) -> Self {
        let mut state = State {
            config,
            blocks: Vec::new(),
            blobs: Vec::new(),
            forced: Vec::new(),
            keys: Vec::new(),
            echoes: Vec::new(),
            faults: Faults::default(),
            reorgs: 0,
            pruned_below: 0,
            wei_per_byte: 0,
        };
        state.produce(config.genesis_time_ms);
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Makes the next block of all that was submitted, with time `time_ms` as it is: a real layer's
    /// times may also go back.
    pub fn produce(&self, time_ms: u64) -> DaRef {
        self.state.lock().produce(time_ms)
    }

    /// Puts a blob into the next block, as anybody may.
    pub fn inject(&self, blob: Bytes) {
        self.state.lock().blobs.push(blob);
    }

    /// Sets keys in the next block, as a parent chain's system config does.
    pub fn set_keys(&self, update: KeyUpdate) {
        self.state.lock().keys.push(update);
    }

    /// The next `calls` calls of any kind are `Unavailable` and have no effect.
    pub fn fail(&self, calls: u64) {
        self.state.lock().faults.outage = calls;
    }

    /// The next `calls` submissions take effect, and answer `Unavailable`.
    pub fn lose_answers(&self, calls: u64) {
        self.state.lock().faults.lost_answers = calls;
    }

    /// The next `calls` submissions answer well, and never get into a block.
    pub fn drop_submissions(&self, calls: u64) {
        self.state.lock().faults.dropped = calls;
    }

    /// The next `calls` submissions stand twice in their block and once more in the one after.
    pub fn duplicate_submissions(&self, calls: u64) {
        self.state.lock().faults.duplicated = calls;
    }

    /// Replaces the newest `depth` blocks (not block 0) by others at the same times that hold what
    /// `keep` says of (height, bytes), blobs and forced entries alike. The rest is gone. Goes below
    /// the final block if told to: then the layer broke its word.
    pub fn reorg(&self, depth: usize, keep: impl Fn(u64, &Bytes) -> bool) {
        self.rewrite(depth, |block| {
            let height = block.da.height;
            block.blobs.retain(|blob| keep(height, blob));
            block.forced.retain(|entry| keep(height, entry));
            true
        });
    }

    /// As [`MemoryDa::reorg`], with any change of what the blocks hold and of their times, from the
    /// oldest on; from the first of which `change` says false, they are gone.
    pub fn rewrite(&self, depth: usize, mut change: impl FnMut(&mut DaBlock) -> bool) {
        let mut state = self.state.lock();
        let first = state.blocks.len().saturating_sub(depth).max(1);
        let old = state.blocks.split_off(first);
        state.reorgs += 1;
        for mut block in old {
            if !change(&mut block) {
                break;
            }
            state.keys = block.keys;
            state.append(block.time_ms, block.blobs, block.forced);
        }
    }

    /// Forgets the blocks below `height`: reading them is `Pruned`.
    pub fn prune(&self, height: u64) {
        self.state.lock().pruned_below = height;
    }

    /// Sets the price of a byte.
    pub fn set_fee(&self, wei_per_byte: u128) {
        self.state.lock().wei_per_byte = wei_per_byte;
    }

    /// Height of the newest block, whatever faults are on.
    pub fn height(&self) -> u64 {
        self.state.lock().blocks.len() as u64 - 1
    }

    /// How many blobs wait for a block.
    pub fn pending(&self) -> usize {
        self.state.lock().blobs.len()
    }

    fn answering(&self) -> Result<parking_lot::MutexGuard<'_, State>, DaError> {
        let mut state = self.state.lock();
        if due(&mut state.faults.outage) {
            return Err(DaError::Unavailable("injected outage".into()));
        }
        Ok(state)
    }
}

impl State {
    fn produce(&mut self, time_ms: u64) -> DaRef {
        let blobs = std::mem::replace(&mut self.blobs, std::mem::take(&mut self.echoes));
        let forced = std::mem::take(&mut self.forced);
        self.append(time_ms, blobs, forced)
    }

    fn append(&mut self, time_ms: u64, blobs: Vec<Bytes>, forced: Vec<Bytes>) -> DaRef {
        let (height, parent) = self
            .blocks
            .last()
            .map_or((0, B256::ZERO), |block| (block.da.height + 1, block.da.hash));
        let mut bytes = b"causeway/memory-da/1".to_vec();
        for number in [self.reorgs, height, time_ms, blobs.len() as u64] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.extend_from_slice(parent.as_slice());
        blobs.iter().chain(&forced).for_each(|entry| bytes.extend(keccak256(entry)));
        let da = DaRef { height, hash: keccak256(bytes) };
        let keys = std::mem::take(&mut self.keys);
        self.blocks.push(DaBlock { da, parent, time_ms, blobs, forced, keys });
        da
    }

    /// What a submission returns: its block if it has one already, else the next height and a zero
    /// hash.
    fn settle(&mut self) -> DaRef {
        match self.config.auto_ms {
            Some(step) => {
                let time_ms = self.blocks.last().map_or(0, |block| block.time_ms) + step;
                self.produce(time_ms)
            }
            None => DaRef { height: self.blocks.len() as u64, hash: B256::ZERO },
        }
    }
}

fn at_most(bytes: usize, most: usize) -> Result<(), DaError> {
    if bytes > most { Err(DaError::TooLarge { bytes, most }) } else { Ok(()) }
}

#[async_trait]
impl DaBackend for MemoryDa {
    async fn limits(&self) -> Result<DaLimits, DaError> {
        let MemoryConfig { max_blob_bytes, max_submission_bytes, .. } = self.answering()?.config;
        Ok(DaLimits { max_blob_bytes, max_submission_bytes })
    }

    async fn submit(&self, blobs: &[Bytes]) -> Result<DaRef, DaError> {
        let mut state = self.answering()?;
        if blobs.is_empty() {
            return Err(DaError::Refused("a submission without blobs".into()));
        }
        let largest = blobs.iter().map(|blob| blob.len()).max().unwrap_or(0);
        at_most(largest, state.config.max_blob_bytes)?;
        at_most(blobs.iter().map(|blob| blob.len()).sum(), state.config.max_submission_bytes)?;
        if !due(&mut state.faults.dropped) {
            state.blobs.extend_from_slice(blobs);
            if due(&mut state.faults.duplicated) {
                state.blobs.extend_from_slice(blobs);
                state.echoes.extend_from_slice(blobs);
            }
        }
        let da = state.settle();
        if due(&mut state.faults.lost_answers) {
            return Err(DaError::Unavailable("injected loss of the answer".into()));
        }
        Ok(da)
    }

    async fn read(&self, height: u64) -> Result<DaBlock, DaError> {
        let state = self.answering()?;
        if height < state.pruned_below {
            return Err(DaError::Pruned { height, oldest: state.pruned_below });
        }
        let latest = state.blocks.len() as u64 - 1;
        let block = usize::try_from(height).ok().and_then(|height| state.blocks.get(height));
        block.cloned().ok_or(DaError::NotYet { height, latest })
    }

    async fn heads(&self) -> Result<DaHeads, DaError> {
        let state = self.answering()?;
        let latest = state.blocks.len() - 1;
        let depth = usize::try_from(state.config.final_depth).unwrap_or(usize::MAX);
        let finalized = state.blocks[latest.saturating_sub(depth)].da;
        Ok(DaHeads { latest: state.blocks[latest].da, finalized })
    }

    async fn fee(&self) -> Result<DaFee, DaError> {
        Ok(DaFee { wei_per_byte: self.answering()?.wei_per_byte })
    }

    async fn force(&self, entry: Bytes) -> Result<(), DaError> {
        let mut state = self.answering()?;
        at_most(entry.len(), state.config.max_blob_bytes)?;
        state.forced.push(entry);
        state.settle();
        if due(&mut state.faults.lost_answers) {
            return Err(DaError::Unavailable("injected loss of the answer".into()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(byte: u8) -> Bytes {
        vec![byte].into()
    }

    async fn blobs(da: &MemoryDa, height: u64) -> Vec<Bytes> {
        da.read(height).await.unwrap().blobs
    }

    #[tokio::test]
    async fn every_fault_does_what_it_says() {
        let da = MemoryDa::new(MemoryConfig::default());
        da.fail(2);
        assert!(da.submit(&[blob(1)]).await.unwrap_err().is_temporary());
        assert!(da.heads().await.unwrap_err().is_temporary());
        assert_eq!((da.heads().await.unwrap().latest.height, da.pending()), (0, 0));

        da.lose_answers(1);
        assert!(da.submit(&[blob(2)]).await.is_err());
        da.drop_submissions(1);
        assert_eq!(da.submit(&[blob(3)]).await.unwrap().height, 1);
        da.inject(blob(4));
        da.produce(10);
        assert_eq!(blobs(&da, 1).await, [blob(2), blob(4)]);

        da.duplicate_submissions(1);
        da.submit(&[blob(5), blob(6)]).await.unwrap();
        da.produce(20);
        da.produce(20);
        assert_eq!(blobs(&da, 2).await, [blob(5), blob(6), blob(5), blob(6)]);
        assert_eq!(blobs(&da, 3).await, [blob(5), blob(6)]);

        da.prune(2);
        let pruned = da.read(1).await.unwrap_err();
        assert_eq!(pruned, DaError::Pruned { height: 1, oldest: 2 });
        da.set_fee(7);
        assert_eq!(da.fee().await.unwrap().wei_per_byte, 7);
    }

    #[tokio::test]
    async fn a_reorg_keeps_what_it_is_told_to_and_shows_in_the_parents() {
        let da = MemoryDa::new(MemoryConfig { auto_ms: Some(5), ..Default::default() });
        for byte in 1..=4 {
            da.submit(&[blob(byte)]).await.unwrap();
        }
        let before = [da.read(2).await.unwrap(), da.read(3).await.unwrap()];
        da.reorg(2, |height, bytes| height == 3 && *bytes == blob(3));
        let after = [da.read(2).await.unwrap(), da.read(3).await.unwrap()];
        assert_eq!(before[0], after[0]);
        assert_ne!(before[1].da.hash, after[1].da.hash);
        assert_eq!(before[1].blobs, after[1].blobs);
        let last = da.read(4).await.unwrap();
        assert_eq!((last.blobs.len(), last.time_ms, last.parent), (0, 20, after[1].da.hash));
        assert_eq!(da.heads().await.unwrap().latest, last.da);
    }
}
