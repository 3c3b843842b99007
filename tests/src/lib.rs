//! What the suites share: fakes and toys that are no part of the node.

pub mod fake_chain;
pub mod hand_clock;
pub mod toy_bft;
pub mod toy_ordered;
