//! What all nodes must agree on: the spec file and the values a chain is made of. No I/O, no async.

pub mod batch;
pub mod block;
pub mod clock;
pub mod crash;
pub mod directory;
mod envelope;
pub mod ethereum;
pub mod fees;
pub mod heads;
pub mod l1;
pub mod mailbox;
pub mod merkle;
pub mod message;
pub mod metalayer;
pub mod plan;
pub mod posted;
pub mod roots;
pub mod seal;
pub mod spec;
pub mod state;
pub mod tx;
#[cfg(test)]
mod vectors;

pub use batch::{DaEntry, DaRef, ForcedEntry, Span, SpanBlock, Tip};
pub use block::{
    AbandonReason, Anchor, Block, BlockBody, Claim, ForcedCut, LanePosition, Origin, Receipt,
    SealedBlock, Takeover,
};
pub use clock::Clock;
pub use heads::{BlockId, Heads};
pub use l1::{KeyRole, KeyUpdate};
pub use message::{DeliveryReceipt, DeliveryStatus, LaneItem, Message, Terms};
pub use metalayer::{Commitment, Flow, Inbound, LaneState};
pub use plan::{
    BlockEnv, BlockPlan, CallOutcome, Closed, NO_BLOBS, SystemBlock, SystemCall, SystemModule,
    SystemState,
};
pub use posted::{PostedBlock, PostedSpan};
pub use seal::{Seal, SealContext, SealTuple};
pub use spec::{ChainSpec, Fork};
pub use state::{Account, AccountDiff, StateDiff, StateError, StateReader};
pub use tx::{SkipReason, Tx, TxEnvelope, TxError, TxType};
