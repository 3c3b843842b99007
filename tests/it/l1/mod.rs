//! The contracts of the parent chain, on a real anvil: deployed through the deterministic deployer,
//! where the node looks for them.

mod config;
mod portal;
mod senders;
mod withdrawals;

use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, LogData, U64, U256};
use alloy_sol_types::{SolCall, SolError};
use causeway_bridge::l1::{Contract, DEPLOYER, Deployment, OutputTerms, Terms};
use causeway_tests::anvil::Anvil;
use causeway_tests::keys;
use eyre::{OptionExt, WrapErr, ensure, eyre};
use serde_json::{Value, json};

/// Below what a transaction may have on mainnet (EIP-7825).
const GAS: u64 = 16_000_000;
/// Longest until a transaction is in a block.
const PATIENCE: Duration = Duration::from_secs(30);
const MAX_GAS: u64 = 5_000_000;
const POSTERS: [Address; 2] = [Address::repeat_byte(0x11), Address::repeat_byte(0x12)];
const SEQUENCERS: [Address; 1] = [Address::repeat_byte(0x21)];

/// A parent chain with the contracts of one chain.
struct Parent {
    anvil: Anvil,
    deployment: Deployment,
}

/// What a transaction left behind.
struct Done {
    logs: Vec<(Address, LogData)>,
    created: Option<Address>,
}

/// One of the ten accounts that anvil signs for.
fn account(index: usize) -> Address {
    keys::accounts()[index].address()
}

fn terms() -> Terms<'static> {
    Terms {
        chain_id: 7001,
        owner: account(1),
        posters: &POSTERS,
        sequencers: &SEQUENCERS,
        max_gas: MAX_GAS,
        proposers: &[],
        outputs: OutputTerms {
            interval: 1,
            block_seconds: 1,
            start_seconds: 0,
            challenge_seconds: 10,
        },
        takes_coins: true,
    }
}

impl Parent {
    async fn start() -> eyre::Result<Self> {
        let parent = Self { anvil: Anvil::start(&[])?, deployment: Deployment::new(&terms()) };
        for contract in parent.deployment.all() {
            parent.deploy(&parent.deployment, contract).await?;
        }
        Ok(parent)
    }

    fn portal(&self) -> Address {
        self.deployment.portal.address
    }

    fn config(&self) -> Address {
        self.deployment.system_config.address
    }

    /// Creates a contract, which is not there before, and is after.
    async fn deploy(&self, deployment: &Deployment, contract: &Contract) -> eyre::Result<Done> {
        let before = self.code(contract.address).await?;
        ensure!(before.is_empty(), "{} is there already", contract.address);
        let done = self.send(account(0), Some(DEPLOYER), deployment.input(contract)).await?;
        ensure!(!self.code(contract.address).await?.is_empty(), "nothing at {}", contract.address);
        Ok(done)
    }

    async fn code(&self, address: Address) -> eyre::Result<Bytes> {
        let code = self.anvil.call("eth_getCode", json!([address, "latest"])).await?;
        Ok(serde_json::from_value(code)?)
    }

    /// Sends a transaction that succeeds.
    async fn send(&self, from: Address, to: Option<Address>, input: Bytes) -> eyre::Result<Done> {
        let request = call(from, to, &input);
        let hash = self.anvil.call("eth_sendTransaction", json!([request])).await?;
        self.done(&hash).await
    }

    /// Anvil makes the block soon after it took the transaction.
    async fn receipt(&self, hash: &Value) -> eyre::Result<Value> {
        loop {
            let receipt = self.anvil.call("eth_getTransactionReceipt", json!([hash])).await?;
            if !receipt.is_null() {
                return Ok(receipt);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// What a transaction did that succeeded.
    async fn done(&self, hash: &Value) -> eyre::Result<Done> {
        let receipt = tokio::time::timeout(PATIENCE, self.receipt(hash)).await??;
        let status: U64 = serde_json::from_value(receipt["status"].clone())?;
        ensure!(status == U64::from(1), "failed: {receipt}");
        let logs = receipt["logs"].as_array().ok_or_eyre("no logs")?.iter().map(|log| {
            let topics: Vec<B256> = serde_json::from_value(log["topics"].clone())?;
            let data: Bytes = serde_json::from_value(log["data"].clone())?;
            let address: Address = serde_json::from_value(log["address"].clone())?;
            Ok((address, LogData::new(topics, data).ok_or_eyre("more than four topics")?))
        });
        let created = serde_json::from_value(receipt["contractAddress"].clone())?;
        Ok(Done { logs: logs.collect::<eyre::Result<_>>()?, created })
    }

    /// Calls a contract, which emits exactly this.
    async fn emits(
        &self,
        (from, to): (Address, Address),
        call: impl SolCall,
        logs: &[LogData],
    ) -> eyre::Result<()> {
        let done = self.send(from, Some(to), call.abi_encode().into()).await?;
        let expected: Vec<_> = logs.iter().map(|log| (to, log.clone())).collect();
        ensure!(done.logs == expected, "logs {:?}, expected {expected:?}", done.logs);
        Ok(())
    }

    /// Asks a contract.
    async fn ask<C: SolCall>(&self, to: Address, question: C) -> eyre::Result<C::Return> {
        let input = question.abi_encode().into();
        let request = call(account(0), Some(to), &input);
        let answer = self.anvil.call("eth_call", json!([request, "latest"])).await?;
        let answer: Bytes = serde_json::from_value(answer)?;
        C::abi_decode_returns(&answer).wrap_err_with(|| format!("{} of {to}", C::SIGNATURE))
    }

    /// The data with which a transaction is refused.
    async fn refusal(&self, request: Value) -> eyre::Result<Bytes> {
        let reply = self.anvil.reply("eth_call", json!([request, "latest"])).await?;
        let error = reply.get("error").ok_or_else(|| eyre!("not refused: {reply}"))?;
        ensure!(error["code"] == 3, "refused otherwise: {reply}");
        serde_json::from_value(error["data"].clone()).wrap_err_with(|| reply.to_string())
    }

    /// A call is refused with exactly this error.
    async fn refuses(
        &self,
        (from, to): (Address, Address),
        input: impl SolCall,
        error: impl SolError,
    ) -> eyre::Result<()> {
        let data = self.refusal(call(from, Some(to), &input.abi_encode().into())).await?;
        ensure!(data == error.abi_encode(), "refused with {data}");
        Ok(())
    }

    /// A contract's constructor refuses its arguments with exactly this error, so that the
    /// deployer creates nothing.
    async fn refuses_terms(
        &self,
        terms: &Terms<'_>,
        contract: impl Fn(&Deployment) -> &Contract,
        error: impl SolError,
    ) -> eyre::Result<()> {
        let deployment = Deployment::new(terms);
        let contract = contract(&deployment);
        let data = self.refusal(call(account(0), None, &contract.creation_code)).await?;
        ensure!(data == error.abi_encode(), "refused with {data}: {terms:?}");
        let input = deployment.input(contract);
        let data = self.refusal(call(account(0), Some(DEPLOYER), &input)).await?;
        ensure!(data.is_empty(), "the deployer says {data}");
        Ok(())
    }
}

fn call(from: Address, to: Option<Address>, input: &Bytes) -> Value {
    let mut request = json!({ "from": from, "input": input, "gas": format!("{GAS:#x}") });
    if let Some(to) = to {
        request["to"] = json!(to);
    }
    request
}

/// A value as one word.
fn word(value: u64) -> B256 {
    U256::from(value).into()
}
