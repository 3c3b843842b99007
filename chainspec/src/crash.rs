//! Named points of a node at which a test makes its process die. Without the feature
//! `crash-points`, which only the tests turn on, they are nothing.
//!
//! The hook is one for the process, unlike everything else of a node: what it ends is the process.

/// Every point, by the part of the node it stands in. A test compares this list with the source,
/// and reaches each of them in a running node.
pub const POINTS: &[&str] = &[
    // The log: a write, the sync it waits for, a new segment, and dropping old ones.
    "log.append.before",
    "log.append.written",
    "log.sync.before",
    "log.sync.after",
    "log.rotate.before",
    "log.rotate.synced",
    "log.segment.created",
    "log.segment.written",
    "log.truncate.before",
    "log.truncate.carried",
    "log.truncate.removed",
    "log.truncate.after",
    // The store: its first file, the identity beside it, block 0, and every commit.
    "store.create.begun",
    "store.create.written",
    "store.create.renamed",
    "identity.before",
    "identity.after",
    // Any small file that is renamed into place: the identity, the verified head.
    "replace.synced",
    "replace.renamed",
    "genesis.before",
    "genesis.after",
    "store.commit.before",
    "store.commit.ready",
    "store.commit.after",
    // Opening a datadir that has a log.
    "replay.before",
    "replay.entry",
    "replay.after",
    // A transaction on its way in.
    "accept.before",
    "accept.durable",
    "answer.send",
    "answer.sync",
    // A block from its plan to its readers.
    "build.planned",
    "build.drafted",
    "build.repeated",
    "seal.signed",
    "commit.before",
    "commit.durable",
    "commit.visible",
    // Blocks that DA ordered, some at once; each is visible as above.
    "adopt.before",
    "adopt.durable",
    "heads.before",
    "heads.after",
    "feed.sent",
    "feed.adopted",
    // Blocks on their way to DA.
    "publish.encode",
    "publish.submit",
    "publish.submitted",
    "publish.noted",
    // Derivation, forwards and back.
    "derive.read",
    "derive.decoded",
    "derive.applied",
    "derive.recorded",
    "abandon.before",
    "abandon.durable",
    "unwind.before",
    "unwind.logged",
    "unwind.stored",
    "unwind.visible",
    "takeover.planned",
    "underive.before",
    "underive.logged",
    "underive.stored",
    // How far a member of the Metalayer has checked the others.
    "verified.before",
    "verified.after",
    // The local DA service.
    "da.queued",
    "da.append.before",
    "da.append.written",
    "da.append.synced",
    "da.forced",
    // Going down when told to.
    "stop.drained",
    "stop.flushed",
];

/// What happens at the points of this process.
#[cfg(feature = "crash-points")]
pub struct Hook {
    /// Called at every point with its name, on the thread that got there.
    pub at: Box<dyn Fn(&'static str) + Send + Sync>,
    /// Size of the log's segments instead of the usual one, so that a short run has many.
    pub log_segment_bytes: Option<u64>,
}

#[cfg(feature = "crash-points")]
static HOOK: std::sync::OnceLock<Hook> = std::sync::OnceLock::new();

/// Sets the hook of the process, once.
#[cfg(feature = "crash-points")]
pub fn arm(hook: Hook) {
    assert!(HOOK.set(hook).is_ok(), "a process has one hook");
}

/// Is here.
#[inline(always)]
pub fn point(name: &'static str) {
    #[cfg(feature = "crash-points")]
    if let Some(hook) = HOOK.get() {
        (hook.at)(name);
    }
    #[cfg(not(feature = "crash-points"))]
    let _ = name;
}

/// Size of the log's segments, if it is `usual` when nobody asked for another.
#[inline(always)]
pub fn log_segment_bytes(usual: u64) -> u64 {
    #[cfg(feature = "crash-points")]
    if let Some(bytes) = HOOK.get().and_then(|hook| hook.log_segment_bytes) {
        return bytes;
    }
    usual
}
