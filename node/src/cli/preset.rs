//! Sets of choices for a new chain, by name.

use causeway_chainspec::spec::presets::Template;
use clap::ValueEnum;

/// What a new chain is tuned for. Every choice of it can be made otherwise with its own flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Preset {
    /// Blocks 10 ms after a transaction came, none while there are none (one in two minutes, so
    /// that the chain's time goes on), and a DA block every 250 ms
    LowLatency,
}

impl Preset {
    /// Makes the choices.
    pub(super) fn apply(self, template: &mut Template) {
        match self {
            Self::LowLatency => template.low_latency(),
        }
    }
}
