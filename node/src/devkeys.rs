//! The ecosystem's public dev keys: ten accounts of the mnemonic every tool knows. Devnets only.

use alloy_signer_local::coins_bip39::English;
use alloy_signer_local::{MnemonicBuilder, PrivateKeySigner};
use causeway_chainspec::spec::presets::{DEV_ACCOUNTS, DEV_GOVERNANCE, DEV_MNEMONIC, Keys};

/// All ten, in order.
pub fn accounts() -> Vec<PrivateKeySigner> {
    (0..DEV_ACCOUNTS.len()).map(at).collect()
}

/// Pays on a parent chain for what a devnet's chain with an index posts there. It comes after the ten:
/// wallets use those, and an account that posts must do nothing else.
pub fn payer(index: usize) -> PrivateKeySigner {
    at(DEV_ACCOUNTS.len() + index)
}

/// Says on a parent chain what the state of the devnet's chain with an index is.
pub fn proposer(index: usize) -> PrivateKeySigner {
    at(DEV_ACCOUNTS.len() + 16 + index)
}

fn at(index: usize) -> PrivateKeySigner {
    MnemonicBuilder::<English>::default()
        .phrase(DEV_MNEMONIC)
        .index(index as u32)
        .and_then(|builder| builder.build())
        .expect("the mnemonic is a constant with a valid checksum")
}

/// The key of an account in a devnet's key set.
fn key_of(address: alloy_primitives::Address) -> PrivateKeySigner {
    accounts()
        .into_iter()
        .find(|signer| signer.address() == address)
        .expect("a devnet's keys are dev accounts")
}

/// Seals the blocks of a devnet.
pub fn sequencer() -> PrivateKeySigner {
    key_of(Keys::DEV.sequencer)
}

/// Signs what a devnet posts to DA.
pub fn poster() -> PrivateKeySigner {
    key_of(Keys::DEV.poster)
}

/// Signs the blocks of a devnet's DA service.
pub fn da() -> PrivateKeySigner {
    key_of(Keys::DEV.da)
}

/// Governs the network of a devnet of several chains.
pub fn governance() -> PrivateKeySigner {
    key_of(DEV_GOVERNANCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mnemonic_gives_the_accounts_of_the_preset() {
        let addresses: Vec<_> = accounts().iter().map(PrivateKeySigner::address).collect();
        assert_eq!(addresses, DEV_ACCOUNTS);
    }
}
