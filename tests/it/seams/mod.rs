//! One contract suite a seam, run over every implementation of it.

pub mod sequencer;
