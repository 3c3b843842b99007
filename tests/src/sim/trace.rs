//! What happened, in words and as one running hash; errors are searched for secrets on the way.

use std::collections::VecDeque;

use alloy_primitives::{B256, hex, keccak256};
use alloy_signer_local::PrivateKeySigner;

use crate::keys;

/// Events kept for the report of a failure.
const KEPT: usize = 30;

/// The events of one run.
#[derive(Debug)]
pub(super) struct Trace {
    hash: B256,
    step: u64,
    last: VecDeque<String>,
    secrets: Vec<String>,
    /// An event that held a private key.
    leaked: Option<String>,
    loud: bool,
}

impl Trace {
    pub(super) fn new() -> Self {
        Self {
            hash: B256::ZERO,
            step: 0,
            last: VecDeque::new(),
            secrets: secrets(),
            leaked: None,
            loud: std::env::var_os("CAUSEWAY_TRACE").is_some(),
        }
    }

    /// Begins a step.
    pub(super) fn begin(&mut self, step: u64) {
        self.step = step;
    }

    /// Notes an event.
    pub(super) fn note(&mut self, event: String) {
        if self.leaked.is_none() && holds_secret(&event, &self.secrets) {
            self.leaked = Some(event.clone());
        }
        let line = format!("step {:>3}: {event}", self.step);
        let mut bytes = self.hash.to_vec();
        bytes.extend_from_slice(line.as_bytes());
        self.hash = keccak256(bytes);
        if self.loud {
            eprintln!("{line}");
        }
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }

    /// Hash of everything noted so far.
    pub(super) fn hash(&self) -> B256 {
        self.hash
    }

    /// The newest events, oldest first.
    pub(super) fn tail(&self) -> String {
        self.last.iter().cloned().collect::<Vec<_>>().join("\n  ")
    }

    /// An event that held a private key, if there was one.
    pub(super) fn leaked(&self) -> Option<&str> {
        self.leaked.as_deref()
    }
}

/// The private keys of the simulation, in hex. The keys of a devnet sign everything.
pub(super) fn secrets() -> Vec<String> {
    let hex_of = |key: &PrivateKeySigner| hex::encode(key.to_bytes());
    keys::accounts().iter().map(hex_of).collect()
}

/// Whether a text holds one of these, in either case.
pub(super) fn holds_secret(text: &str, secrets: &[String]) -> bool {
    // Shorter texts cannot hold 64 digits.
    text.len() >= 64 && {
        let text = text.to_lowercase();
        secrets.iter().any(|secret| text.contains(secret))
    }
}
