//! A chain whose blobs another chain carries.

use alloy_primitives::Address;

use super::{Lines, Template, quoted};

/// The chain that carries the blobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    /// Its chain id.
    pub chain_id: u64,
    /// Its first block that may carry blobs of ours.
    pub start: u64,
    /// Time between its blocks, in seconds.
    pub interval: u64,
    /// Who may change keys by the system config, and guards outputs.
    pub owner: Address,
    /// Who says on it what our state is.
    pub proposer: Address,
    /// How long that stands before coins leave by it.
    pub challenge: String,
    /// Our contracts on it; none until their addresses are known, which are made of the spec.
    pub contracts: Option<Contracts>,
}

/// Contracts of a chain on its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contracts {
    /// Takes forced transactions and messages.
    pub portal: Address,
    /// Changes keys.
    pub system_config: Address,
}

impl Template {
    /// Has a parent chain carry the blobs.
    pub fn on_parent(&mut self, parent: Parent) {
        "ethereum".clone_into(&mut self.da);
        self.parent = Some(parent);
    }
}

impl Parent {
    /// How long what comes from the parent waits, in seconds: as long as a few of its blocks, so that a
    /// sequencer knows them all, and few of them leave the parent's chain after.
    pub(super) fn forced_delay(&self) -> u64 {
        (6 * self.interval).max(8)
    }

    /// What `[da]` says after `start`, and the section of the layer.
    pub(super) fn write(&self, file: &mut Lines) {
        file.line("interval", &quoted(&format!("{}s", self.interval)), "between its blocks");
        file.section("da.ethereum");
        file.line("chain_id", &self.chain_id.to_string(), "of the parent chain");
        let address = |address: Address| quoted(&address.to_string());
        file.line("owner", &address(self.owner), "may change keys, and guards outputs");
        file.line("proposer", &address(self.proposer), "says what the state is");
        file.line("challenge", &quoted(&self.challenge), "before coins leave by it");
        if let Some(Contracts { portal, system_config }) = self.contracts {
            file.line("portal", &address(portal), "");
            file.line("system_config", &address(system_config), "");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Keys;
    use super::*;
    use crate::spec::parse;
    use crate::spec::parse::Inputs;

    #[test]
    fn a_chain_on_a_parent_is_valid() {
        let at = Address::repeat_byte;
        let mut template = Template::devnet("alpha", 901, "evm", Keys::DEV, 1_700_000_000_000);
        let contracts = Some(Contracts { portal: at(1), system_config: at(2) });
        let parent = Parent {
            chain_id: 31337,
            start: 9,
            interval: 12,
            owner: at(3),
            proposer: at(4),
            challenge: "7d".to_owned(),
            contracts,
        };
        template.on_parent(parent);
        let (spec, warnings) = parse(&template.to_toml(), &Inputs::NONE).unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        assert_eq!((spec.da.layer.as_str(), spec.da.start), ("ethereum", 9));
        assert_eq!(spec.da.interval_ms, 12_000);
        assert_eq!(spec.da.options["chain_id"].as_integer(), Some(31337));
        assert_eq!(spec.da.options["portal"].as_str(), Some(at(1).to_string().as_str()));
    }
}
