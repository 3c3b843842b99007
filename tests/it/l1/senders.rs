//! Who sends a message: accounts are themselves, contracts are their aliases.

use alloy_consensus::{SignableTransaction, TxEip7702};
use alloy_eips::eip2718::Encodable2718;
use alloy_eips::eip7702::Authorization;
use alloy_primitives::{Address, Bytes, U64, U256, hex};
use alloy_signer::SignerSync;
use alloy_sol_types::{SolCall, SolEvent};
use causeway_bridge::l1::{self, alias};
use causeway_tests::anvil::CHAIN_ID;
use causeway_tests::keys;
use eyre::{OptionExt, ensure};
use serde_json::json;

use super::{Done, GAS, Parent, account};

/// Calls the address in the first word of what it is called with, with the rest of it, and fails if
/// that fails.
const RELAY: [u8; 26] = hex!("602036038060205f375f5f915f5f5f355af16018575f5ffd5b00");

/// What a relay takes to call `to`.
pub(super) fn through(to: Address, input: &[u8]) -> Bytes {
    [to.into_word().as_slice(), input].concat().into()
}

/// A message to nobody in particular.
fn message() -> Vec<u8> {
    l1::depositTransactionCall {
        to: Address::repeat_byte(0x77),
        value: U256::ZERO,
        gasLimit: 100_000,
        isCreation: false,
        data: Bytes::new(),
    }
    .abi_encode()
}

/// Creation code that calls an address while the contract has no code yet.
fn calling_constructor(to: Address, input: &[u8]) -> Bytes {
    let length = u16::try_from(input.len()).unwrap().to_be_bytes();
    let head = |offset: u8| {
        [
            &[0x61, length[0], length[1], 0x60, offset, 0x5f, 0x39][..],
            &[0x5f, 0x5f, 0x61, length[0], length[1], 0x5f, 0x5f, 0x73],
            to.as_slice(),
            &[0x5a, 0xf1, 0x00],
        ]
        .concat()
    };
    let offset = u8::try_from(head(0).len()).unwrap();
    [&head(offset), input].concat().into()
}

impl Parent {
    /// A relay at an address of its own.
    pub(super) async fn relay(&self) -> eyre::Result<Address> {
        let address = Address::repeat_byte(0x5e);
        self.anvil.set_code(address, &hex::encode_prefixed(RELAY)).await?;
        Ok(address)
    }

    /// The sender of the one message that a transaction sent.
    fn sender(&self, done: &Done) -> eyre::Result<Address> {
        let [(address, log)] = &done.logs[..] else { eyre::bail!("logs {:?}", done.logs) };
        ensure!(*address == self.portal(), "a log of {address}");
        Ok(l1::TransactionDeposited::decode_log_data(log)?.from)
    }

    /// The sender of a message that `from` sends by calling `to`.
    async fn sends(&self, from: Address, to: Address, input: Bytes) -> eyre::Result<Address> {
        let done = self.send(from, Some(to), input).await?;
        self.sender(&done)
    }

    /// Makes an account delegate to a contract, by a transaction of that account.
    async fn delegate(&self, index: usize, to: Address) -> eyre::Result<()> {
        let key = &keys::accounts()[index];
        let nonce = json!([key.address(), "latest"]);
        let nonce: U64 =
            serde_json::from_value(self.anvil.call("eth_getTransactionCount", nonce).await?)?;
        let nonce = nonce.to::<u64>();
        let chain_id = U256::from(CHAIN_ID);
        let authorization = Authorization { chain_id, address: to, nonce: nonce + 1 };
        let signature = key.sign_hash_sync(&authorization.signature_hash())?;
        let tx = TxEip7702 {
            chain_id: CHAIN_ID,
            nonce,
            gas_limit: GAS,
            max_fee_per_gas: 10_000_000_000,
            max_priority_fee_per_gas: 1,
            authorization_list: vec![authorization.into_signed(signature)],
            ..TxEip7702::default()
        };
        let signature = key.sign_hash_sync(&tx.signature_hash())?;
        let raw: Bytes = tx.into_signed(signature).encoded_2718().into();
        let hash = self.anvil.call("eth_sendRawTransaction", json!([raw])).await?;
        self.done(&hash).await?;
        let code = self.code(key.address()).await?;
        ensure!(code == [&hex!("ef0100")[..], to.as_slice()].concat(), "delegates by {code}");
        Ok(())
    }
}

#[tokio::test]
async fn accounts_are_themselves_and_contracts_aliases() -> eyre::Result<()> {
    let parent = Parent::start().await?;
    let (user, portal) = (account(2), parent.portal());
    ensure!(parent.sends(user, portal, message().into()).await? == user);
    let relay = parent.relay().await?;
    let sender = parent.sends(user, relay, through(portal, &message())).await?;
    ensure!(sender == alias(relay) && sender != relay, "{sender}");
    // A contract under construction has no code, as an account has none.
    let done = parent.send(user, None, calling_constructor(portal, &message())).await?;
    let created = done.created.ok_or_eyre("nothing was created")?;
    ensure!(parent.sender(&done)? == alias(created));
    Ok(())
}

#[tokio::test]
async fn an_account_that_delegates_is_itself_in_its_own_transactions() -> eyre::Result<()> {
    let parent = Parent::start().await?;
    let relay = parent.relay().await?;
    let (user, other, portal) = (account(2), account(3), parent.portal());
    parent.delegate(2, relay).await?;
    ensure!(parent.sends(user, portal, message().into()).await? == user);
    // By way of its own code, which is a wallet's batch.
    let input = through(portal, &message());
    ensure!(parent.sends(user, user, input.clone()).await? == user);
    // Its code in another's transaction is a contract like others.
    ensure!(parent.sends(other, user, input.clone()).await? == alias(user));
    // And so is what it calls.
    ensure!(parent.sends(user, relay, input).await? == alias(relay));
    Ok(())
}

/// Ethereum knows no such accounts (EIP-3607), some of its relatives do.
#[tokio::test]
async fn an_account_with_any_other_code_is_a_contract() -> eyre::Result<()> {
    let parent = Parent::start().await?;
    let (user, portal) = (account(2), parent.portal());
    for code in
        [vec![0], vec![0; 22], vec![0; 23], vec![0; 24], [&hex!("ee0100")[..], &[1; 20]].concat()]
    {
        parent.anvil.set_code(user, &hex::encode_prefixed(&code)).await?;
        let sender = parent.sends(user, portal, message().into()).await?;
        ensure!(sender == alias(user), "{sender} with code of {} bytes", code.len());
    }
    parent.anvil.set_code(user, "0x").await?;
    ensure!(parent.sends(user, portal, message().into()).await? == user);
    Ok(())
}
