//! What a seed decides before the first step: the chain, its nodes, and which faults happen how often.

use causeway_consensus::mempool::Limits;

use crate::txs::Rng;

/// One kind of step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// New transactions, most of them valid.
    Submit,
    /// Transactions that were sent before.
    Resend,
    /// The sequencer's turn: a block, if it may build one.
    Build,
    /// Messages of the feed arrive, in whatever order and state.
    Deliver,
    /// A node subscribes to the feed anew.
    Follow,
    /// Sealed blocks are posted.
    Post,
    /// A DA block.
    DaBlock,
    /// A node derives.
    Sync,
    /// A node writes what waits into its store.
    Flush,
    /// Entries of the forced lane, good and bad.
    Force,
    /// Time passes and nothing happens.
    Wait,
    /// A node's clock goes wrong by a little, or is set right.
    Skew,
    /// A node's clock goes wrong by more than a window.
    Jump,
    /// A node's line to the DA layer breaks, lags or comes back.
    Line,
    /// The layer loses an answer, drops or doubles a submission.
    Unreliable,
    /// The layer replaces its newest blocks.
    Reorg,
    /// Blobs that are no spans, damaged spans, spans of others.
    Garbage,
    /// Spans from before, once more.
    Again,
    /// Blocks of the feed that the sequencer never made.
    Impostor,
    /// A node's process ends: what it wrote stays.
    Kill,
    /// Power goes in the middle of an operation: what was not synced may go.
    Cut,
    /// The disk fails: an error, or no space.
    Disk,
    /// The sequencer is away for more than a window.
    Silence,
    /// A new node, from DA alone.
    Fresh,
}

/// Every action, its weight, and the share of seeds (in percent) in which it happens at all.
const ACTIONS: &[(Action, u64, u64)] = &[
    (Action::Submit, 16, 100),
    (Action::Build, 22, 100),
    (Action::Deliver, 12, 100),
    (Action::Follow, 4, 100),
    (Action::Post, 9, 100),
    (Action::DaBlock, 14, 100),
    (Action::Sync, 14, 100),
    (Action::Flush, 3, 90),
    (Action::Resend, 2, 70),
    (Action::Force, 4, 70),
    (Action::Wait, 3, 70),
    (Action::Skew, 2, 40),
    (Action::Jump, 1, 15),
    (Action::Line, 4, 50),
    (Action::Unreliable, 3, 50),
    (Action::Reorg, 3, 50),
    (Action::Garbage, 3, 40),
    (Action::Again, 2, 40),
    (Action::Impostor, 2, 40),
    (Action::Kill, 3, 50),
    (Action::Cut, 4, 50),
    (Action::Disk, 2, 30),
    (Action::Silence, 1, 20),
    (Action::Fresh, 1, 20),
];

/// How a full node learns of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Follower {
    /// From the feed, too; else from DA alone.
    pub(super) feed: bool,
}

/// What a seed decides.
#[derive(Debug, Clone)]
pub(super) struct Setup {
    pub(super) vm: &'static str,
    /// A DA block is final under so many others.
    pub(super) final_depth: u64,
    pub(super) followers: Vec<Follower>,
    pub(super) steps: u64,
    pub(super) pool: Limits,
    /// Share of starts in which power fails again, percent.
    pub(super) cuts: u64,
    /// Share of feed messages that are lost, damaged or come twice, percent each.
    pub(super) feed_faults: [u64; 3],
    weights: Vec<(Action, u64)>,
}

impl Setup {
    pub(super) fn of(rng: &mut Rng) -> Self {
        let mut weights = Vec::new();
        for (action, weight, share) in ACTIONS {
            if rng.percent(*share) {
                // A fault that is on is sometimes on all the time.
                let often = if *share < 100 { *rng.pick(&[1, 1, 2, 4]) } else { 1 };
                weights.push((*action, weight * often));
            }
        }
        let small = Limits { queued: 3, count: 10, bytes: 8 << 10, ..<_>::default() };
        let faulty_feed = rng.percent(60);
        Self {
            vm: *rng.pick(&["evm", "ledger"]),
            final_depth: *rng.pick(&[1, 2, 4, 8, 16, 40]),
            followers: (0..1 + rng.below(3)).map(|_| Follower { feed: rng.percent(65) }).collect(),
            steps: 60 + rng.below(90),
            pool: if rng.percent(25) { small } else { Limits::default() },
            feed_faults: if faulty_feed { [(); 3].map(|()| rng.below(25)) } else { [0; 3] },
            cuts: if weights.iter().any(|(action, _)| *action == Action::Cut) { 40 } else { 0 },
            weights,
        }
    }

    /// The next action.
    pub(super) fn action(&self, rng: &mut Rng) -> Action {
        let sum: u64 = self.weights.iter().map(|(_, weight)| weight).sum();
        let mut at = rng.below(sum);
        for (action, weight) in &self.weights {
            match at.checked_sub(*weight) {
                Some(rest) => at = rest,
                None => return *action,
            }
        }
        Action::Build
    }
}
