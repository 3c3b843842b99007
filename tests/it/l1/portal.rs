//! The portal: its bounds from both sides, and its events to the byte.

use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, LogData, U256, b256, bytes};
use alloy_sol_types::{Panic, SolCall, SolError, SolEvent};
use causeway_bridge::l1::{self, Terms, alias};
use causeway_chainspec::l1::Bounds;
use causeway_chainspec::l1::source_hash;
use causeway_chainspec::plan::Candidate;
use causeway_chainspec::{KeyRole, KeyUpdate, TxEnvelope};
use causeway_da::DaBackend;
use causeway_da::ethereum::EthereumDa;
use causeway_tests::anvil::CHAIN_ID;
use eyre::{OptionExt, bail, ensure};
use serde_json::json;

use super::{MAX_GAS, Parent, account, call, terms, word};

const MOST: usize = 120_000;
const TO: Address = Address::repeat_byte(0x77);

fn force(byte: u8, length: usize) -> l1::forceTransactionCall {
    l1::forceTransactionCall { data: vec![byte; length].into() }
}

fn forced(from: Address, index: u64, data: Bytes) -> LogData {
    l1::ForcedTransaction { from, index: U256::from(index), data }.encode_log_data()
}

/// A call of `TO` with so much gas and so many bytes.
fn message(gas_limit: u64, length: usize) -> l1::depositTransactionCall {
    l1::depositTransactionCall {
        to: TO,
        value: U256::from(5),
        gasLimit: gas_limit,
        isCreation: false,
        data: vec![0xab; length].into(),
    }
}

/// What a message emits.
fn deposited(from: Address, message: &l1::depositTransactionCall) -> LogData {
    let opaque: Vec<u8> = [
        &[0; 32][..],
        &message.value.to_be_bytes::<32>(),
        &message.gasLimit.to_be_bytes(),
        &[u8::from(message.isCreation)],
        &message.data,
    ]
    .concat();
    l1::TransactionDeposited {
        from,
        to: message.to,
        version: U256::ZERO,
        opaqueData: opaque.into(),
    }
    .encode_log_data()
}

#[tokio::test]
async fn entries_are_counted_and_bounded() -> eyre::Result<()> {
    let parent = Parent::start().await?;
    let (user, other, portal) = (account(2), account(3), parent.portal());
    ensure!(parent.ask(portal, l1::forcedCall {}).await? == U256::ZERO);
    let entries = [(user, 0x02, 1), (other, 0x7d, 33), (user, 0x7f, 32), (user, 0x00, MOST)];
    for (index, (from, byte, length)) in entries.into_iter().enumerate() {
        let call = force(byte, length);
        let log = forced(from, index as u64, call.data.clone());
        parent.emits((from, portal), call, &[log]).await?;
    }
    let path = (user, portal);
    parent.refuses(path, force(0, 0), l1::DataEmpty {}).await?;
    let error = l1::DataTooLong { length: U256::from(MOST + 1), most: U256::from(MOST) };
    parent.refuses(path, force(2, MOST + 1), error).await?;
    for length in [1, 100, MOST] {
        let error = l1::TypeReserved { transactionType: 0x7e };
        parent.refuses(path, force(0x7e, length), error).await?;
    }
    ensure!(parent.ask(portal, l1::forcedCall {}).await? == U256::from(entries.len()));
    Ok(())
}

#[tokio::test]
async fn messages_are_bounded() -> eyre::Result<()> {
    let parent = Parent::start().await?;
    let path = (account(2), parent.portal());
    for length in [0, 1, 68, MOST] {
        let least = 21_000 + 40 * length as u64;
        let question = l1::minimumGasLimitCall { byteCount: length as u64 };
        ensure!(parent.ask(parent.portal(), question).await? == least);
        for gas in [least, least + 1, MAX_GAS] {
            let call = message(gas, length);
            let log = deposited(path.0, &call);
            parent.emits(path, call, &[log]).await?;
        }
        for gas in [0, least - 1] {
            let error = l1::GasLimitTooLow { gasLimit: gas, least };
            parent.refuses(path, message(gas, length), error).await?;
        }
        for gas in [MAX_GAS + 1, u64::MAX] {
            let error = l1::GasLimitTooHigh { gasLimit: gas, most: MAX_GAS };
            parent.refuses(path, message(gas, length), error).await?;
        }
    }
    let error = l1::DataTooLong { length: U256::from(MOST + 1), most: U256::from(MOST) };
    parent.refuses(path, message(MAX_GAS, MOST + 1), error).await?;
    let question = l1::minimumGasLimitCall { byteCount: u64::MAX };
    parent.refuses(path, question, Panic { code: U256::from(0x11) }).await?;
    Ok(())
}

#[tokio::test]
async fn creations_name_nobody() -> eyre::Result<()> {
    let parent = Parent::start().await?;
    let path = (account(2), parent.portal());
    let creation = l1::depositTransactionCall { isCreation: true, ..message(100_000, 3) };
    parent.refuses(path, creation.clone(), l1::CreationTo { to: TO }).await?;
    let last = Address::with_last_byte(1);
    let to_one = l1::depositTransactionCall { to: last, ..creation.clone() };
    parent.refuses(path, to_one, l1::CreationTo { to: last }).await?;
    // Nobody is an address like others for what is no creation.
    for is_creation in [true, false] {
        let call = l1::depositTransactionCall {
            to: Address::ZERO,
            isCreation: is_creation,
            value: U256::MAX,
            ..message(100_000, 3)
        };
        let log = deposited(path.0, &call);
        parent.emits(path, call, &[log]).await?;
    }
    let mut request = call(path.0, Some(path.1), &force(2, 3).abi_encode().into());
    request["value"] = json!("0x1");
    ensure!(parent.refusal(request).await?.is_empty(), "an entry brings no coins");
    Ok(())
}

/// What comes with a message is minted on the chain, and stays with the portal.
#[tokio::test]
async fn coins_come_with_messages_where_they_may() -> eyre::Result<()> {
    let parent = Parent::start().await?;
    let portal = parent.portal();
    // A plain payment is a message to oneself.
    for (input, wei) in [(message(100_000, 3).abi_encode().into(), 7), (Bytes::new(), 5)] {
        let mut request = call(account(2), Some(portal), &input);
        request["value"] = json!(format!("{wei:#x}"));
        let hash = parent.anvil.call("eth_sendTransaction", json!([request])).await?;
        let done = parent.done(&hash).await?;
        let (_, log) = done.logs.first().ok_or_eyre("no event")?;
        let event = l1::TransactionDeposited::decode_log_data(log)?;
        ensure!(event.opaqueData[..32] == word(wei)[..], "{event:?}");
        let value = if input.is_empty() { wei } else { 5 };
        ensure!(event.opaqueData[32..64] == word(value)[..], "{event:?}");
    }
    let balance = parent.anvil.call("eth_getBalance", json!([portal, "latest"])).await?;
    ensure!(balance == "0xc", "the portal holds {balance}");

    let deployment = l1::Deployment::new(&Terms { takes_coins: false, ..terms() });
    parent.deploy(&deployment, &deployment.portal).await?;
    let portal = deployment.portal.address;
    for input in [message(100_000, 3).abi_encode().into(), Bytes::new()] {
        let mut request = call(account(2), Some(portal), &input);
        request["value"] = json!("0x9");
        let refusal = parent.refusal(request).await?;
        ensure!(refusal == l1::CoinsRefused { value: U256::from(9) }.abi_encode(), "{refusal}");
    }
    Ok(())
}

/// As they lie in a receipt: written by hand.
#[tokio::test]
async fn events_are_golden() -> eyre::Result<()> {
    let parent = Parent::start().await?;
    let path = (account(0), parent.portal());
    let sender = b256!("000000000000000000000000f39fd6e51aad88f6f4ce6ab8827279cfffb92266");
    let entry = l1::forceTransactionCall { data: bytes!("02c0de") };
    let topics = vec![
        b256!("f7811f15f075ab4d26456717a6829e7d09bbc38880d709a282363e5ffd0d556c"),
        sender,
        word(0),
    ];
    let data = bytes!(
        "0000000000000000000000000000000000000000000000000000000000000020"
        "0000000000000000000000000000000000000000000000000000000000000003"
        "02c0de0000000000000000000000000000000000000000000000000000000000"
    );
    parent.emits(path, entry, &[LogData::new_unchecked(topics, data)]).await?;
    let call = l1::depositTransactionCall {
        to: TO,
        value: U256::from(0x0102),
        gasLimit: 0x0003_0405,
        isCreation: false,
        data: bytes!("c0ffee"),
    };
    // The topic by which OP's tools know it.
    let topics = vec![
        b256!("b3813568d9991fc951961fcb4c784893574240a28925604d09fc577c55bb7c32"),
        sender,
        TO.into_word(),
        word(0),
    ];
    let data = bytes!(
        "0000000000000000000000000000000000000000000000000000000000000020"
        "000000000000000000000000000000000000000000000000000000000000004c"
        "0000000000000000000000000000000000000000000000000000000000000000"
        "0000000000000000000000000000000000000000000000000000000000000102"
        "000000000003040500c0ffee0000000000000000000000000000000000000000"
    );
    parent.emits(path, call, &[LogData::new_unchecked(topics, data)]).await
}

#[tokio::test]
async fn the_most_gas_is_bounded_below_and_kept() -> eyre::Result<()> {
    let parent = Parent::start().await?;
    ensure!(parent.ask(parent.portal(), l1::maxGasCall {}).await? == MAX_GAS);
    ensure!(parent.ask(parent.portal(), l1::versionCall {}).await? == "2.0.0");
    let error = l1::GasLimitTooLow { gasLimit: 20_999, least: 21_000 };
    let low = Terms { max_gas: 20_999, ..terms() };
    parent.refuses_terms(&low, |deployment| &deployment.portal, error).await?;
    // One that takes no data at all, and one whose bound is none.
    for max_gas in [21_000, u64::MAX] {
        let deployment = l1::Deployment::new(&Terms { max_gas, ..terms() });
        let done = parent.deploy(&deployment, &deployment.portal).await?;
        ensure!(done.logs.is_empty(), "{:?}", done.logs);
        let path = (account(2), deployment.portal.address);
        let call = message(max_gas, 0);
        let log = deposited(path.0, &call);
        parent.emits(path, call, &[log]).await?;
    }
    Ok(())
}

/// Contracts force transactions under their own address: what counts is who signed the entry.
#[tokio::test]
async fn senders_of_entries_are_not_aliased() -> eyre::Result<()> {
    let parent = Parent::start().await?;
    let relay = parent.relay().await?;
    let input = super::senders::through(parent.portal(), &force(2, 3).abi_encode());
    let done = parent.send(account(2), Some(relay), input).await?;
    let expected = forced(relay, 0, vec![2; 3].into());
    ensure!(done.logs == [(parent.portal(), expected)], "{:?}", done.logs);
    ensure!(alias(relay) != relay);
    Ok(())
}

/// The DA layer calls the contract, and reads what it and others put there.
#[tokio::test]
async fn the_da_layer_forces_and_reads_entries() -> eyre::Result<()> {
    let parent = Parent::start().await?;
    let (url, key, portal) = (parent.anvil.url(), parent.anvil.key_file()?, parent.portal());
    let options = toml::from_str(&format!(
        "chain_id = {CHAIN_ID}\nportal = \"{portal}\"\nsystem_config = \"{}\"",
        parent.config()
    ))?;
    let settings = toml::from_str(&format!(
        "rpc = [{url:?}]\nbeacon = [{url:?}]\ntrust_roots = \"development\"\nkey = {key:?}"
    ))?;
    let interval = Duration::from_millis(200);
    let bounds = Bounds { gas: 30_000_000, coins: true };
    let da = EthereumDa::new((B256::repeat_byte(0xaa), bounds), interval, &options, &settings)?;
    let before = parent.anvil.height().await?;
    da.force(bytes!("02aa")).await?;
    let call = force(0x03, MOST);
    let log = forced(account(2), 1, call.data.clone());
    parent.emits((account(2), portal), call.clone(), &[log]).await?;
    da.force(bytes!("02bb")).await?;
    let call_of_message = message(MAX_GAS, 3);
    let log = deposited(account(2), &call_of_message);
    parent.emits((account(2), portal), call_of_message, &[log]).await?;
    for reserved in [bytes!("7eaa"), bytes!("")] {
        let error = da.force(reserved).await;
        ensure!(error.is_err(), "the portal refuses it");
    }
    let new = [Address::repeat_byte(0x55)].to_vec();
    let update = l1::setPostersCall { keys: new.clone() }.abi_encode().into();
    parent.send(terms().owner, Some(parent.config()), update).await?;
    let (mut entries, mut keys) = (Vec::new(), Vec::new());
    for height in before + 1..=parent.anvil.height().await? {
        let block = da.read(height).await?;
        entries.extend(block.forced.into_iter().map(|entry| (block.da.hash, entry)));
        keys.extend(block.keys);
    }
    let (at, last) = entries.pop().ok_or_eyre("no entries")?;
    let signed: Vec<_> = entries.into_iter().map(|(_, entry)| entry).collect();
    ensure!(signed == [bytes!("02aa"), call.data, bytes!("02bb")], "{} entries", signed.len());
    let Candidate::Tx(tx) = Candidate::forced(&last) else { bail!("no message: {last}") };
    ensure!(tx.is_deposit() && tx.sender == account(2), "{tx:?}");
    let TxEnvelope::Deposit(sent) = &tx.envelope else { bail!("no message: {tx:?}") };
    ensure!(sent.source_hash == source_hash(at, 0), "it is named by where its event stands");
    ensure!(keys == [KeyUpdate::new(KeyRole::Posters, new)], "{keys:?}");
    Ok(())
}
