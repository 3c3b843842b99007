//! The transaction manager: puts blobs into blocks of the parent chain, and never the same twice.
//!
//! One account, one transaction under way, and the account's nonce is the lock. A payload is made of
//! the chain as derived up to a block D, and its transaction takes the nonce that the account had at
//! D. So of two payloads made of one view (after a restart, by a second poster with the same key,
//! after a change of mind) at most one lands, whatever was forgotten; and what landed above D is
//! derived before anything else is sent. A transaction that a reorg puts out is taken up as it is by
//! the next submission of the same payload, and replaced by that of another.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_consensus::{SignableTransaction, TxEip4844, TxEip4844WithSidecar};
use alloy_eips::eip2718::Encodable2718;
use alloy_eips::eip7594::BlobTransactionSidecarVariant;
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_signer::SignerSync;
use alloy_sol_types::SolCall;
use causeway_chainspec::DaRef;
use causeway_chainspec::l1::forceTransactionCall;
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::MutexGuard;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::account::{Account, Call, is_known, is_underpriced};
use super::archive::Archive;
use super::fees::{Bid, Caps, Ledger, Quote, TX_GAS};
use super::fork::Fork;
use super::kzg;
use super::rpc::Rpc;
use crate::{DaError, Runway};

/// Most replacements of one that is not ours to know: each doubles, so caps end it sooner.
const MOST_RAISES: usize = 64;
/// Most posts that were told of and are not derived.
const MOST_TOLD: usize = 64;
/// Most bytes of an entry of the forced lane: pools take transactions of 128 KiB.
const MOST_ENTRY: usize = 120_000;

/// Posts for one account.
#[derive(Debug)]
pub(super) struct Poster {
    account: Account,
    fork: Arc<Fork>,
    inbox: Address,
    /// Keeps what is sent, before it is.
    archive: Option<Archive>,
    under_way: tokio::sync::Mutex<UnderWay>,
    ledger: Mutex<Ledger>,
}

#[derive(Debug, Default)]
struct UnderWay {
    /// What was sent last. It is kept when it has landed: a reorg may put it out.
    flight: Option<Flight>,
    /// The transaction before it, for the same reason.
    before: Option<(u64, Sent)>,
    /// Nonces whose transactions the caller was told of, and which it may not have derived yet.
    told: BTreeMap<u64, B256>,
}

/// One payload at one nonce.
#[derive(Debug)]
struct Flight {
    nonce: u64,
    payload: B256,
    sidecar: BlobTransactionSidecarVariant,
    /// What it must outbid: another payload at this nonce.
    rival: Option<Bid>,
    sent: Vec<Sent>,
}

/// One transaction; those of a flight differ in what they bid.
#[derive(Debug, Clone)]
struct Sent {
    hash: B256,
    raw: Bytes,
    bid: Bid,
    /// Newest block when it was sent.
    height: u64,
}

impl Flight {
    fn dearest(&self) -> Option<Bid> {
        self.sent.last().map(|sent| sent.bid).or(self.rival)
    }
}

impl Poster {
    /// With an account, to an inbox.
    pub(super) fn new(
        account: Account,
        fork: Arc<Fork>,
        inbox: Address,
        archive: Option<Archive>,
    ) -> Self {
        let (under_way, ledger) = Default::default();
        Self { account, fork, inbox, archive, under_way, ledger }
    }

    fn rpc(&self) -> &Rpc {
        self.account.rpc()
    }

    fn caps(&self) -> &Caps {
        &self.account.caps
    }

    fn address(&self) -> Address {
        self.account.address()
    }

    /// Puts an entry into the forced lane by a call of the portal, and waits until it is in a block.
    /// Any user can do the same with any wallet: `forceTransaction(bytes)`.
    pub(super) async fn force(&self, portal: Address, entry: Bytes) -> Result<(), DaError> {
        if entry.len() > MOST_ENTRY {
            return Err(DaError::TooLarge { bytes: entry.len(), most: MOST_ENTRY });
        }
        // Pools take no other transaction of an account that has one with blobs waiting.
        let (_alone, nonce) = self.free_nonce().await?;
        let input = forceTransactionCall { data: entry }.abi_encode().into();
        let call = Call { to: portal, value: U256::ZERO, input, most_wei: None };
        self.account.call_at(nonce, &call, |_| Ok(())).await.map(drop)
    }

    /// The next nonce, if no post waits for it; none begins as long as the answer is held.
    async fn free_nonce(&self) -> Result<(MutexGuard<'_, UnderWay>, u64), DaError> {
        let under_way = self.under_way.lock().await;
        let nonce = self.rpc().nonce(self.address(), json!("latest")).await?;
        let waits = |flight: &Flight| flight.nonce >= nonce && !flight.sent.is_empty();
        if under_way.flight.as_ref().is_some_and(waits) {
            let text = format!("a post of this account waits with nonce {nonce}: try again");
            return Err(DaError::Unavailable(text));
        }
        Ok((under_way, nonce))
    }

    /// How long the account's funds last.
    pub(super) async fn runway(&self) -> Result<Runway, DaError> {
        let balance = self.account.chain().balance(self.address()).await?;
        let now = self.rpc().quote().await?.time;
        Ok(self.ledger.lock().runway(now, balance))
    }

    /// Brings blobs into a block; see the module for what `derived` is for. Dropping this leaves the
    /// transaction where it is, and the next call goes on with it.
    pub(super) async fn submit(
        &self,
        blobs: &[Bytes],
        derived: Option<DaRef>,
    ) -> Result<DaRef, DaError> {
        let mut under_way = self.under_way.lock().await;
        let nonce = self.next_nonce(&mut under_way, derived).await?;
        let payload = keccak256(alloy_rlp::encode(blobs.to_vec()));
        let UnderWay { flight, before, told } = &mut *under_way;
        let flight = match flight {
            Some(flight) if flight.nonce == nonce && flight.payload == payload => flight,
            place => {
                let left = place.as_ref().filter(|left| left.nonce < nonce);
                *before = left.and_then(|left| Some((left.nonce, left.sent.last()?.clone())));
                let rival = place.as_ref().filter(|before| before.nonce == nonce);
                let rival = rival.and_then(Flight::dearest);
                let proofs = self.fork.proofs(self.rpc()).await?;
                let sidecar = kzg::sidecar(blobs.to_vec(), proofs).await?;
                if let Some(archive) = &self.archive {
                    let blobs = sidecar.blobs().iter().map(|blob| Bytes::copy_from_slice(&**blob));
                    archive.store(&sidecar.versioned_hashes().zip(blobs).collect()).await?;
                }
                place.insert(Flight { nonce, payload, sidecar, rival, sent: Vec::new() })
            }
        };
        let (da, hash) = self.land(flight, before.as_ref()).await?;
        told.insert(nonce, hash);
        while told.len() > MOST_TOLD {
            told.pop_first();
        }
        Ok(da)
    }

    /// The nonce for what was made of the chain derived up to a block.
    async fn next_nonce(
        &self,
        under_way: &mut UnderWay,
        derived: Option<DaRef>,
    ) -> Result<u64, DaError> {
        let latest = self.rpc().nonce(self.address(), json!("latest")).await?;
        let Some(derived) = derived else { return Ok(latest) };
        let at = json!(format!("{:#x}", derived.height));
        let then = self.rpc().nonce(self.address(), at).await?;
        if self.rpc().hash_at(derived.height).await? != Some(derived.hash) {
            let text = format!("block {} left the chain: it is derived anew", derived.hash);
            return Err(DaError::Unavailable(text));
        }
        if latest < then {
            return Err(DaError::Unavailable("an l1 rpc lags behind what was derived".into()));
        }
        under_way.told = under_way.told.split_off(&then);
        for nonce in then..latest {
            let known = match under_way.told.get(&nonce) {
                Some(hash) => self.rpc().landed(*hash).await?.is_some(),
                None => false,
            };
            if !known {
                return Err(DaError::Unavailable(format!(
                    "a transaction of {} with nonce {nonce} landed above block {}, which is as far as \
                     this post knows: it is derived first",
                    self.address(),
                    derived.height
                )));
            }
        }
        Ok(latest)
    }

    /// Bids, waits and raises until a transaction of the flight is in a block.
    async fn land(
        &self,
        flight: &mut Flight,
        before: Option<&(u64, Sent)>,
    ) -> Result<(DaRef, B256), DaError> {
        // Of the wait alone: proving and sending may take seconds on a busy machine.
        let mut began: Option<Instant> = None;
        let (mut seen, mut behind_since) = (None, None);
        let mut why = "it is in no block yet".to_owned();
        loop {
            if let Some((da, hash, cost_wei, time)) = self.landed(flight).await? {
                self.ledger.lock().spent(time, cost_wei);
                info!(height = da.height, nonce = flight.nonce, cost_wei, tx = %hash, "posted blobs");
                return Ok((da, hash));
            }
            if began.is_some_and(|began| began.elapsed() > self.caps().patience) {
                let text = format!("the post with nonce {} is given back: {why}", flight.nonce);
                return Err(DaError::Unavailable(text));
            }
            let quote = self.rpc().quote().await?;
            if seen != Some(quote.height) {
                let next = self.next_to_land(flight).await?;
                if next == flight.nonce {
                    behind_since = None;
                } else {
                    let since = *behind_since.get_or_insert(quote.height);
                    if quote.height.saturating_sub(since) >= self.caps().replace_after {
                        return Err(put_out(flight.nonce));
                    }
                    // Pools may have it again by themselves.
                    if let Some((_, sent)) = before.filter(|(nonce, _)| *nonce == next) {
                        debug!(nonce = next, tx = %sent.hash, "a reorg put a post out");
                        let _taken = self.rpc().publish(&sent.raw).await?;
                    }
                }
                match self.step(flight, &quote).await? {
                    Ok(()) => seen = Some(quote.height),
                    // Asked again although no block came: prices and pools change.
                    Err(reason) if why == reason => {}
                    Err(reason) => {
                        warn!(nonce = flight.nonce, %reason, "a post waits");
                        why = reason;
                    }
                }
            }
            began.get_or_insert_with(Instant::now);
            tokio::time::sleep(self.account.poll).await;
        }
    }

    /// Where a transaction of the flight landed, if one did: with its hash, what it cost in wei, and
    /// the time of its block.
    async fn landed(&self, flight: &Flight) -> Result<Option<(DaRef, B256, u128, u64)>, DaError> {
        for sent in flight.sent.iter().rev() {
            let Some(receipt) = self.rpc().landed(sent.hash).await? else { continue };
            let height = receipt.block_number.to();
            let Some((hash, header)) = self.rpc().at(height).await? else { continue };
            if hash != receipt.block_hash {
                continue;
            }
            let da = DaRef { height, hash };
            return Ok(Some((da, sent.hash, receipt.cost(), header.timestamp)));
        }
        Ok(None)
    }

    /// The nonce whose transaction is the next to land: that of the flight, or of one before it that a
    /// reorg put out. Ends a flight whose nonce went to another transaction.
    async fn next_to_land(&self, flight: &Flight) -> Result<u64, DaError> {
        let latest = self.rpc().nonce(self.address(), json!("latest")).await?;
        // Looked at in this order, a transaction of ours that took the nonce has a receipt.
        if latest <= flight.nonce || self.landed(flight).await?.is_some() {
            return Ok(latest.min(flight.nonce));
        }
        Err(taken(flight.nonce))
    }

    /// What a new block asks for: the first bid, a higher one, or the same again. The inner error
    /// says what it waits for.
    async fn step(
        &self,
        flight: &mut Flight,
        quote: &Quote,
    ) -> Result<Result<(), String>, DaError> {
        let Some(last) = flight.sent.last().cloned() else {
            let bid = match flight.rival {
                Some(rival) => Bid::instead_of(&rival, quote, self.caps()),
                None => Bid::first(quote, self.caps()),
            };
            return match bid {
                Ok(bid) => self.send(flight, bid, quote).await,
                Err(reason) => Ok(Err(reason)),
            };
        };
        let waited = quote.height.saturating_sub(last.height);
        let poor = waited > 0 && !last.bid.is_enough(quote);
        let gone = !self.rpc().knows(last.hash).await?;
        let late = !gone && waited >= self.caps().replace_after;
        match Bid::instead_of(&last.bid, quote, self.caps()) {
            Ok(bid) if poor || late => self.send(flight, bid, quote).await,
            // Without a better bid, what was sent is good for as long as it can be.
            Err(reason) if poor || late => {
                if gone {
                    let _refused = self.again(flight, last, quote).await?;
                }
                Ok(Err(reason))
            }
            _ if gone => self.again(flight, last, quote).await,
            _ => Ok(Ok(())),
        }
    }

    /// Sends a transaction again, as it is, that is gone from the pools: a reorg put it out, or they
    /// dropped it.
    async fn again(
        &self,
        flight: &mut Flight,
        last: Sent,
        quote: &Quote,
    ) -> Result<Result<(), String>, DaError> {
        debug!(tx = %last.hash, "a transaction is gone from the pools; sending it again");
        match self.rpc().publish(&last.raw).await? {
            Err(message) if is_underpriced(&message) => {
                match Bid::instead_of(&last.bid, quote, self.caps()) {
                    Ok(bid) => self.send(flight, bid, quote).await,
                    Err(reason) => Ok(Err(reason)),
                }
            }
            Err(message) if !is_known(&message) => Ok(Err(message)),
            _ => {
                flight.sent.iter_mut().rev().take(1).for_each(|sent| sent.height = quote.height);
                Ok(Ok(()))
            }
        }
    }

    /// Signs and sends. If a transaction that we do not know of has the nonce, raises until it is
    /// replaced or the caps are reached.
    async fn send(
        &self,
        flight: &mut Flight,
        mut bid: Bid,
        quote: &Quote,
    ) -> Result<Result<(), String>, DaError> {
        for _ in 0..MOST_RAISES {
            if let Some(reason) = self.over_budget(flight, &bid, quote) {
                return Ok(Err(reason));
            }
            let sent = self.sign(flight, bid, quote.height)?;
            let (tx, raw) = (sent.hash, sent.raw.clone());
            // Before it is sent: a call that is dropped here must not forget it.
            flight.sent.push(sent);
            let message = match self.rpc().publish(&raw).await? {
                Err(message) if !is_known(&message) => message,
                _ => {
                    let Bid { tip, max_fee, max_blob_fee } = bid;
                    let nonce = flight.nonce;
                    debug!(nonce, %tx, tip, max_fee, max_blob_fee, "sent a blob transaction");
                    return Ok(Ok(()));
                }
            };
            flight.sent.pop();
            if is_taken(&message) {
                return Err(taken(flight.nonce));
            }
            if !is_underpriced(&message) {
                return Ok(Err(message));
            }
            flight.rival = Some(bid);
            bid = match Bid::instead_of(&bid, quote, self.caps()) {
                Ok(bid) => bid,
                Err(reason) => return Ok(Err(format!("{message}; {reason}"))),
            };
        }
        Ok(Err("pools want ever more for a replacement".to_owned()))
    }

    fn over_budget(&self, flight: &Flight, bid: &Bid, quote: &Quote) -> Option<String> {
        let budget = self.caps().budget_per_hour?;
        let spent = self.ledger.lock().last_hour(quote.time);
        let most = bid.most(flight.sidecar.blobs().len());
        (spent.saturating_add(most) > budget).then(|| {
            format!(
                "{spent} wei were spent in the last hour and this may cost {most}: above \
                 budget_per_hour of {budget}"
            )
        })
    }

    fn sign(&self, flight: &Flight, bid: Bid, height: u64) -> Result<Sent, DaError> {
        let tx = TxEip4844 {
            chain_id: self.rpc().chain_id(),
            nonce: flight.nonce,
            gas_limit: TX_GAS,
            max_fee_per_gas: bid.max_fee,
            max_priority_fee_per_gas: bid.tip,
            to: self.inbox,
            blob_versioned_hashes: flight.sidecar.versioned_hashes().collect(),
            max_fee_per_blob_gas: bid.max_blob_fee,
            ..TxEip4844::default()
        };
        let signature = self
            .account
            .key
            .sign_hash_sync(&tx.signature_hash())
            .map_err(|error| DaError::Refused(format!("signing: {error}")))?;
        let tx = TxEip4844WithSidecar::from_tx_and_sidecar(tx, flight.sidecar.clone());
        let signed = tx.into_signed(signature);
        let hash = *signed.hash();
        let raw = signed.encoded_2718().into();
        Ok(Sent { hash, raw, bid, height })
    }
}

fn put_out(nonce: u64) -> DaError {
    DaError::Unavailable(format!(
        "the transaction before nonce {nonce} was put out by a reorg and does not come back: what is \
         not posted is posted anew"
    ))
}

fn taken(nonce: u64) -> DaError {
    DaError::Unavailable(format!(
        "another transaction of this account took nonce {nonce}: what it brought is derived first"
    ))
}

/// Whether the nonce is used on the chain.
fn is_taken(message: &str) -> bool {
    let message = message.to_lowercase().replace('_', " ");
    message.contains("nonce too low") || message.contains("oldnonce")
}
