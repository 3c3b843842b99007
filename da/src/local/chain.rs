//! The service itself: a queue of submissions, and blocks made of them.

use std::collections::{HashMap, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

use alloy_primitives::{Address, B256, Bytes};
use alloy_rlp::Decodable;
use alloy_signer_local::PrivateKeySigner;
use causeway_chainspec::{DaRef, crash};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, oneshot};

use super::LocalConfig;
use super::block::{Block, BlockHeader, Entry, SignedHeader, entries_root};
use super::segments::{self, Index, Writer};
use crate::{DaError, DaLimits};

/// Counted for each blob besides its own bytes, so that many empty ones are not free.
pub(super) const ENTRY_COST: usize = 64;

/// The block a submission got into, once it is durable. Dropped if the service cannot say.
pub(super) type Included = oneshot::Receiver<DaRef>;

/// A local DA service on a directory. One process at a time; every block is durable before anybody
/// hears of it.
#[derive(Debug)]
pub struct LocalDa {
    dir: PathBuf,
    key: PrivateKeySigner,
    config: LocalConfig,
    queue: Mutex<Queue>,
    writer: Mutex<Writer>,
    known: RwLock<Known>,
    submitted: Notify,
    // Held for its lock.
    _lock: File,
}

/// What readers see.
#[derive(Debug)]
struct Known {
    index: Index,
    /// The newest headers: as many as the final depth, and one.
    recent: VecDeque<SignedHeader>,
}

#[derive(Debug, Default)]
struct Queue {
    blobs: VecDeque<Pending>,
    forced: VecDeque<Pending>,
    bytes: HashMap<(B256, bool), usize>,
    total: usize,
}

#[derive(Debug)]
struct Pending {
    namespace: B256,
    forced: bool,
    entries: Vec<Bytes>,
    cost: usize,
    done: oneshot::Sender<DaRef>,
}

impl LocalDa {
    /// Opens a directory, creating it with block 0 if it is new. A torn tail is cut off; damage, a
    /// second process and another key are errors that say what to do.
    pub fn open(dir: &Path, key: PrivateKeySigner, config: LocalConfig) -> Result<Self, DaError> {
        config.check()?;
        fs::create_dir_all(dir)
            .map_err(|error| DaError::Storage(format!("{}: {error}", dir.display())))?;
        let lock = lock(dir)?;
        let mut stored = Stored { recent: VecDeque::new(), final_depth: config.final_depth };
        let (index, writer) = segments::open(dir, config.segment_bytes, &mut stored)?;
        let recent = stored.recent;
        let da = Self {
            dir: dir.to_owned(),
            key,
            queue: Mutex::default(),
            writer: Mutex::new(writer),
            known: RwLock::new(Known { index, recent }),
            submitted: Notify::new(),
            _lock: lock,
            config,
        };
        let tip = da.known.read().recent.back().cloned();
        match tip {
            None => da.produce(da.config.genesis_time_ms).map(drop)?,
            Some(tip) if tip.signer() == Some(da.signer()) => {}
            Some(tip) => {
                return Err(DaError::Config(format!(
                    "{} holds blocks signed by {:?}, the key given is {}: use the key it began with",
                    dir.display(),
                    tip.signer(),
                    da.signer(),
                )));
            }
        }
        Ok(da)
    }

    /// Who signs.
    pub fn signer(&self) -> Address {
        self.key.address()
    }

    /// How it runs.
    pub fn config(&self) -> &LocalConfig {
        &self.config
    }

    /// Limits of a submission.
    pub fn limits(&self) -> DaLimits {
        DaLimits {
            max_blob_bytes: self.config.max_blob_bytes,
            max_submission_bytes: self.config.max_block_bytes,
        }
    }

    /// Queues blobs to stand together, in order, in one block.
    pub fn submit(&self, namespace: B256, blobs: Vec<Bytes>) -> Result<Included, DaError> {
        if blobs.is_empty() {
            return Err(DaError::Refused("a submission without blobs".into()));
        }
        let largest = blobs.iter().map(|blob| blob.len()).max().unwrap_or(0);
        at_most(largest, self.config.max_blob_bytes)?;
        let cost = blobs.iter().map(|blob| blob.len() + ENTRY_COST).sum();
        at_most(cost, self.config.max_block_bytes)?;
        self.enqueue(namespace, false, blobs, cost)
    }

    /// Queues an entry of the forced lane.
    pub fn force(&self, namespace: B256, entry: Bytes) -> Result<Included, DaError> {
        at_most(entry.len(), self.config.max_forced_bytes)?;
        // All cost the same: places in a block are what is scarce in this lane.
        self.enqueue(namespace, true, vec![entry], self.config.max_forced_bytes)
    }

    fn enqueue(
        &self,
        namespace: B256,
        forced: bool,
        entries: Vec<Bytes>,
        cost: usize,
    ) -> Result<Included, DaError> {
        let mut queue = self.queue.lock();
        let most = match forced {
            true => self.config.forced_bytes_per_block().saturating_mul(4),
            false => self.config.max_pending_bytes,
        };
        let own = queue.bytes.get(&(namespace, forced)).copied().unwrap_or(0);
        if own + cost > most || queue.total + cost > self.config.max_pending_bytes.saturating_mul(8)
        {
            return Err(DaError::Unavailable("too much is waiting for a block; try later".into()));
        }
        let (done, included) = oneshot::channel();
        queue.total += cost;
        *queue.bytes.entry((namespace, forced)).or_default() += cost;
        let lane = if forced { &mut queue.forced } else { &mut queue.blobs };
        lane.push_back(Pending { namespace, forced, entries, cost, done });
        drop(queue);
        crash::point("da.queued");
        self.submitted.notify_one();
        Ok(included)
    }

    /// Whether anything waits for a block.
    pub(super) fn has_pending(&self) -> bool {
        self.queue.lock().total > 0
    }

    /// Completes when something was queued since the last call.
    pub(super) async fn submitted(&self) {
        self.submitted.notified().await;
    }

    /// Makes the next block of what waits, as far as it fits, with time `time_ms` or the parent's
    /// if that is later. Blocks until it is durable, then answers those who waited. An error means
    /// that nothing more will be written until the directory is opened again.
    pub fn produce(&self, time_ms: u64) -> Result<DaRef, DaError> {
        let mut writer = self.writer.lock();
        let picked = self.queue.lock().take(&self.config);
        let parent = self.known.read().recent.back().map(|signed| signed.header);
        let mut entries = Vec::new();
        let mut waiting = Vec::with_capacity(picked.len());
        for Pending { namespace, forced, entries: bytes, done, .. } in picked {
            entries.extend(bytes.into_iter().map(|bytes| Entry { namespace, forced, bytes }));
            waiting.push(done);
        }
        let header = BlockHeader {
            height: parent.map_or(0, |parent| parent.height + 1),
            parent: parent.map_or(B256::ZERO, |parent| parent.hash()),
            time_ms: parent.map_or(time_ms, |parent| parent.time_ms.max(time_ms)),
            entries: entries_root(entries.iter().map(Entry::hash)),
        };
        let block = Block { signed: SignedHeader::new(header, &self.key)?, entries };
        crash::point("da.append.before");
        let placed = writer.append(header.height, &alloy_rlp::encode(&block))?;
        let mut known = self.known.write();
        known.index.push(placed);
        remember(&mut known.recent, block.signed, self.config.final_depth);
        drop(known);
        crash::point("da.append.synced");
        let da = header.da();
        for done in waiting {
            // One who no longer waits reads it from the block.
            let _ = done.send(da);
        }
        Ok(da)
    }

    /// The block at `height`.
    pub fn read(&self, height: u64) -> Result<Block, DaError> {
        let known = self.known.read();
        let Some((path, offset)) = known.index.find(&self.dir, height) else {
            return Err(DaError::NotYet { height, latest: known.index.len().saturating_sub(1) });
        };
        drop(known);
        let payload = segments::read(&path, offset)?;
        Block::decode(&mut payload.as_slice())
            .map_err(|error| DaError::Damaged(format!("{}: {error}", path.display())))
    }

    /// Newest and final header.
    pub fn heads(&self) -> Result<(SignedHeader, SignedHeader), DaError> {
        let known = self.known.read();
        match (known.recent.back(), known.recent.front()) {
            (Some(latest), Some(finalized)) => Ok((latest.clone(), finalized.clone())),
            _ => Err(DaError::Unavailable("the service has no block yet".into())),
        }
    }
}

impl Queue {
    /// Takes from the front of both lanes what fits one block.
    fn take(&mut self, config: &LocalConfig) -> Vec<Pending> {
        let mut picked = Vec::new();
        let mut room = config.max_block_bytes;
        while let Some(next) = self.blobs.pop_front_if(|next| next.cost <= room) {
            room -= next.cost;
            picked.push(next);
        }
        let forced = self.forced.len().min(config.forced_per_block);
        picked.extend(self.forced.drain(..forced));
        for Pending { namespace, forced, cost, .. } in &picked {
            self.total -= cost;
            if let Some(bytes) = self.bytes.get_mut(&(*namespace, *forced)) {
                *bytes -= cost;
                if *bytes == 0 {
                    self.bytes.remove(&(*namespace, *forced));
                }
            }
        }
        picked
    }
}

fn at_most(bytes: usize, most: usize) -> Result<(), DaError> {
    if bytes > most { Err(DaError::TooLarge { bytes, most }) } else { Ok(()) }
}

fn remember(recent: &mut VecDeque<SignedHeader>, signed: SignedHeader, final_depth: u64) {
    recent.push_back(signed);
    while recent.len() as u64 > final_depth + 1 {
        recent.pop_front();
    }
}

/// The blocks of the files, as they are read.
struct Stored {
    recent: VecDeque<SignedHeader>,
    final_depth: u64,
}

impl segments::Reader for Stored {
    /// Checks that a stored block follows the one before.
    fn next(&mut self, payload: &[u8]) -> Result<(), String> {
        let block =
            Block::decode(&mut &payload[..]).map_err(|error| format!("no block: {error}"))?;
        let header = block.signed.header;
        let (height, parent, time_ms) = match self.recent.back() {
            Some(last) => (last.header.height + 1, last.header.hash(), last.header.time_ms),
            None => (0, B256::ZERO, 0),
        };
        if header.height != height || header.parent != parent || header.time_ms < time_ms {
            return Err(format!("block {} does not follow the one before", header.height));
        }
        remember(&mut self.recent, block.signed, self.final_depth);
        Ok(())
    }

    fn is_later(&self, payload: &[u8]) -> bool {
        let Ok(block) = Block::decode(&mut &payload[..]) else { return false };
        match self.recent.back() {
            // Of this service's own key, and of a height it has never been seen to sign: an old
            // block copied into a blob is not. By the key of the block before, not the one given,
            // or opening with a wrong key would cut off what is good.
            Some(last) => {
                block.signed.header.height > last.header.height + 1
                    && block.signed.signer().is_some_and(|own| last.signer() == Some(own))
            }
            // The block that cannot be read is the first, and holds nothing of strangers.
            None => true,
        }
    }
}

/// Takes the directory for this process.
fn lock(dir: &Path) -> Result<File, DaError> {
    let path = dir.join("lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|error| DaError::Storage(format!("{}: {error}", path.display())))?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).map_err(
        |error| {
            DaError::Config(format!(
                "{} is in use by another process ({error}): stop it, or give this one another \
                 directory",
                dir.display()
            ))
        },
    )?;
    Ok(file)
}
