//! What the node is measured against: another program, and a limit.

pub mod anvil;
pub mod limit;
