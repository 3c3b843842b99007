//! The keys of a devnet, derived from their mnemonic once a process.

use std::sync::LazyLock;

use alloy_signer_local::PrivateKeySigner;
use causeway_chainspec::spec::presets::Keys;
use causeway_node::devkeys;

static ACCOUNTS: LazyLock<Vec<PrivateKeySigner>> = LazyLock::new(devkeys::accounts);

/// The ten dev accounts.
pub fn accounts() -> &'static [PrivateKeySigner] {
    &ACCOUNTS
}

/// Seals blocks.
pub fn sequencer() -> PrivateKeySigner {
    key_of(Keys::DEV.sequencer)
}

/// Signs what is posted to DA.
pub fn poster() -> PrivateKeySigner {
    key_of(Keys::DEV.poster)
}

fn key_of(address: alloy_primitives::Address) -> PrivateKeySigner {
    let found = accounts().iter().find(|key| key.address() == address);
    found.expect("a devnet's keys are dev accounts").clone()
}
