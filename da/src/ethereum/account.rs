//! The parent chain as one who deploys on it sees it, and an account that calls contracts there.

use std::sync::Arc;
use std::time::Duration;

use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, TxKind, U64, U256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::fees::{Bid, Caps, Quote};
use super::rpc::Rpc;
use super::settings::Settings;
use super::sources::Fault;
use crate::DaError;

/// Between two looks for a block with what was sent.
const POLL: Duration = Duration::from_millis(500);
/// Blocks over which the time between blocks is taken.
const BLOCKS: u64 = 16;
/// Most raises of a bid: each doubles, so caps end it sooner.
const MOST_RAISES: usize = 64;

/// The parent chain, through execution nodes of it.
#[derive(Debug, Clone)]
pub struct ParentChain {
    rpc: Arc<Rpc>,
}

/// What a node tells of its chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParentFacts {
    /// Chain id.
    pub chain_id: u64,
    /// Height of the newest block.
    pub height: u64,
    /// Time between blocks of late, in seconds, 1 to 60.
    pub interval: u64,
    /// Whether it is anvil, which computes roots in its own way and answers for blobs itself.
    pub is_anvil: bool,
}

/// Where a transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whereabouts {
    /// No node knows it.
    Nowhere,
    /// In a pool.
    Waiting,
    /// In the block of a height.
    Landed {
        /// Height.
        height: u64,
        /// Whether it did what it was for.
        succeeded: bool,
    },
}

impl ParentChain {
    /// The chain with this id, through the nodes of the settings. Sends nothing yet.
    pub fn open(chain_id: u64, settings: &Settings) -> Result<Self, DaError> {
        Ok(Self { rpc: Arc::new(Rpc::new(&settings.rpc, chain_id)?) })
    }

    /// Asks an execution node what chain it is of.
    pub async fn facts(url: &str) -> Result<ParentFacts, DaError> {
        let urls = [url.to_owned()];
        let any = Rpc::new(&urls, 0)?;
        let id: U64 = any.unchecked("eth_chainId", json!([])).await?;
        let rpc = Rpc::new(&urls, id.to())?;
        let client: Value = rpc.ask("web3_clientVersion", json!([])).await?;
        let (_, newest) = rpc.newest().await?.ok_or_else(no_block)?;
        // Block 0 may be of 1970.
        let back = BLOCKS.min(newest.number.saturating_sub(1));
        let (_, before) = rpc.at(newest.number - back).await?.ok_or_else(no_block)?;
        let took = newest.timestamp.saturating_sub(before.timestamp);
        Ok(ParentFacts {
            chain_id: id.to(),
            height: newest.number,
            interval: took.checked_div(back).unwrap_or(1).clamp(1, 60),
            is_anvil: client.as_str().is_some_and(|name| name.starts_with("anvil")),
        })
    }

    /// Height of the newest block.
    pub async fn height(&self) -> Result<u64, DaError> {
        let height: U64 = self.rpc.ask("eth_blockNumber", json!([])).await?;
        Ok(height.to())
    }

    /// Time of the newest block, unix seconds.
    pub async fn time(&self) -> Result<u64, DaError> {
        Ok(self.rpc.newest().await?.ok_or_else(no_block)?.1.timestamp)
    }

    /// The code of a contract, as of the newest block; empty where there is none.
    pub async fn code(&self, of: Address) -> Result<Bytes, DaError> {
        self.rpc.ask("eth_getCode", json!([of, "latest"])).await
    }

    /// What a contract answers to a call, as of the newest block.
    pub async fn read(&self, to: Address, input: &Bytes) -> Result<Bytes, DaError> {
        self.rpc.ask("eth_call", json!([{ "to": to, "input": input }, "latest"])).await
    }

    /// What an account has, in wei.
    pub async fn balance(&self, of: Address) -> Result<U256, DaError> {
        self.rpc.balance(of).await
    }

    /// Where a transaction is.
    pub async fn find(&self, hash: B256) -> Result<Whereabouts, DaError> {
        if let Some(landed) = self.rpc.landed(hash).await? {
            let (height, succeeded) = (landed.block_number.to(), landed.status == U64::from(1));
            return Ok(Whereabouts::Landed { height, succeeded });
        }
        let waits = self.rpc.knows(hash).await?;
        Ok(if waits { Whereabouts::Waiting } else { Whereabouts::Nowhere })
    }
}

/// An account with its key. Let one thing at a time send from it: its nonce is what keeps a
/// transaction from being sent twice.
#[derive(Debug)]
pub struct Account {
    pub(super) chain: ParentChain,
    pub(super) key: PrivateKeySigner,
    pub(super) caps: Caps,
    pub(super) poll: Duration,
}

/// What a call costs, by the prices of the newest block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Price {
    /// Gas it uses, as the node estimates it.
    pub gas: u64,
    /// What that costs now, in wei.
    pub wei: u128,
    /// Most that it may cost when it is sent, in wei: the base fee may double, and gas has a margin.
    pub most_wei: u128,
}

/// A call of a contract.
#[derive(Debug, Clone)]
pub struct Call {
    /// The contract.
    pub to: Address,
    /// Coins that go with it, in wei.
    pub value: U256,
    /// What it is called with.
    pub input: Bytes,
    /// It is not sent if it may cost more, in wei; no bound but the settings' caps if left out.
    pub most_wei: Option<u128>,
}

impl Account {
    /// The account that the settings name a key of.
    pub fn open(chain: ParentChain, settings: &Settings) -> Result<Self, DaError> {
        let text = "no key of an account that pays: set key = \"FILE\" in [da]";
        let key = settings.key()?.ok_or_else(|| DaError::Config(text.into()))?;
        Ok(Self { chain, key, caps: settings.caps(), poll: POLL })
    }

    pub(super) fn new(rpc: Arc<Rpc>, key: PrivateKeySigner, caps: Caps, poll: Duration) -> Self {
        Self { chain: ParentChain { rpc }, key, caps, poll }
    }

    /// The chain it is on.
    pub fn chain(&self) -> &ParentChain {
        &self.chain
    }

    /// Its address.
    pub fn address(&self) -> Address {
        self.key.address()
    }

    pub(super) fn rpc(&self) -> &Rpc {
        &self.chain.rpc
    }

    /// What a call would cost; an error if it would fail.
    pub async fn price(&self, call: &Call) -> Result<Price, DaError> {
        self.price_of(self.gas(call).await?).await
    }

    /// What so much gas costs.
    pub async fn price_of(&self, gas: u64) -> Result<Price, DaError> {
        let quote = self.quote().await?;
        let bid = Bid::first(&quote, &self.caps).map_err(DaError::Unavailable)?;
        let limit = with_margin(gas);
        let wei = u128::from(gas).saturating_mul(quote.base_fee.saturating_add(bid.tip));
        Ok(Price { gas, wei, most_wei: u128::from(limit).saturating_mul(bid.max_fee) })
    }

    /// Calls a contract and waits for the block; its height. Takes the place of what waits with the
    /// account's next nonce, if it can outbid that. `note` is told the hash of each transaction before
    /// it is sent, so that it is found again after a crash.
    pub async fn call(
        &self,
        call: &Call,
        note: impl FnMut(B256) -> Result<(), DaError> + Send,
    ) -> Result<u64, DaError> {
        let nonce = self.rpc().nonce(self.address(), json!("latest")).await?;
        self.call_at(nonce, call, note).await
    }

    /// As [`call`](Self::call), with a nonce.
    pub(super) async fn call_at(
        &self,
        nonce: u64,
        call: &Call,
        mut note: impl FnMut(B256) -> Result<(), DaError> + Send,
    ) -> Result<u64, DaError> {
        let gas_limit = with_margin(self.gas(call).await?);
        let quote = self.quote().await?;
        let mut bid = Bid::first(&quote, &self.caps).map_err(DaError::Unavailable)?;
        for _ in 0..MOST_RAISES {
            let most = u128::from(gas_limit).saturating_mul(bid.max_fee);
            if let Some(agreed) = call.most_wei.filter(|agreed| most > *agreed) {
                let text = format!("it may cost {most} wei now, and {agreed} were agreed to");
                return Err(DaError::Refused(text));
            }
            let (hash, raw) = self.sign(nonce, gas_limit, call, bid)?;
            note(hash)?;
            match self.rpc().publish(&raw).await? {
                Err(message) if is_underpriced(&message) => {
                    bid = Bid::instead_of(&bid, &quote, &self.caps)
                        .map_err(|reason| DaError::Unavailable(format!("{message}; {reason}")))?;
                }
                Err(message) if !is_known(&message) => {
                    return Err(DaError::Unavailable(format!("nonce {nonce}: {message}")));
                }
                _ => return self.wait(hash).await,
            }
        }
        Err(DaError::Unavailable("pools want ever more for a replacement".into()))
    }

    /// Waits for the block with a transaction; its height.
    pub async fn wait(&self, hash: B256) -> Result<u64, DaError> {
        let began = Instant::now();
        loop {
            match self.chain.find(hash).await? {
                Whereabouts::Landed { height, succeeded: true } => return Ok(height),
                Whereabouts::Landed { height, .. } => {
                    let text = format!("{hash} failed in block {height} of the parent chain");
                    return Err(DaError::Refused(text));
                }
                _ if began.elapsed() > self.caps.patience => {
                    let text = format!("{hash} is in no block yet");
                    return Err(DaError::Unavailable(text));
                }
                _ => tokio::time::sleep(self.poll).await,
            }
        }
    }

    /// Prices now; calls carry no blobs, whatever those cost.
    async fn quote(&self) -> Result<Quote, DaError> {
        Ok(Quote { blob_fee: 0, ..self.rpc().quote().await? })
    }

    fn sign(
        &self,
        nonce: u64,
        gas_limit: u64,
        call: &Call,
        bid: Bid,
    ) -> Result<(B256, Bytes), DaError> {
        let tx = TxEip1559 {
            chain_id: self.rpc().chain_id(),
            nonce,
            gas_limit,
            max_fee_per_gas: bid.max_fee,
            max_priority_fee_per_gas: bid.tip,
            to: TxKind::Call(call.to),
            value: call.value,
            input: call.input.clone(),
            ..TxEip1559::default()
        };
        let signature = self
            .key
            .sign_hash_sync(&tx.signature_hash())
            .map_err(|error| DaError::Refused(format!("signing: {error}")))?;
        let signed = tx.into_signed(signature);
        Ok((*signed.hash(), signed.encoded_2718().into()))
    }

    /// Gas of a call. A node that answers says for all whether it would fail.
    async fn gas(&self, call: &Call) -> Result<u64, DaError> {
        let Call { to, value, input, .. } = call;
        let asked = json!([{ "from": self.address(), "to": to, "input": input, "value": value }]);
        let (rpc, asked) = (self.rpc(), &asked);
        let ask = move |node| {
            Box::pin(async move {
                match rpc.call::<U64>(node, "eth_estimateGas", asked.clone()).await {
                    Err(Fault::Refused { message, .. }) => Ok(Err(message)),
                    answer => answer.map(Ok),
                }
            }) as _
        };
        let gas: Result<U64, String> = rpc.nodes.first(ask).await?;
        gas.map(|gas| gas.to())
            .map_err(|message| DaError::Refused(format!("a call of {to} would fail: {message}")))
    }
}

fn no_block() -> DaError {
    DaError::Unavailable("the execution node has no newest block".into())
}

/// The gas limit of a call: a quarter more, since what it does may cost more in a later block.
fn with_margin(gas: u64) -> u64 {
    gas.saturating_mul(5) / 4
}

/// Whether a node has just this transaction already.
pub(super) fn is_known(message: &str) -> bool {
    let message = message.to_lowercase();
    ["already known", "alreadyknown", "already imported"].iter().any(|text| message.contains(text))
}

/// Whether the pool has another transaction in this place and wants more for it.
pub(super) fn is_underpriced(message: &str) -> bool {
    let message = message.to_lowercase();
    message.contains("underpriced") || message.contains("replacement")
}
