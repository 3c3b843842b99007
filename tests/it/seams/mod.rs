//! One contract suite per seam, run over every implementation in its table.

mod da;
mod mailbox;
mod sequencer;
pub(crate) mod vm;
