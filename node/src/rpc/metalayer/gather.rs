//! Where a message stands: looked up on every chain this process can read.

use alloy_primitives::B256;
use alloy_sol_types::SolEvent;
use causeway_bridge::metalayer::view::{self, Received, Sent};
use causeway_chainspec::mailbox::{DispatchId, MAILBOX};
use causeway_chainspec::{Block, LaneItem, Message};
use serde_json::Value;

use super::super::error::RpcResult;
use super::super::table::{Api, Args};
use super::message::{Place, Trace};
use super::network::{Known, Network};

/// `metalayer_getMessage(id)`.
pub(super) fn message(api: &Api, args: &Args) -> RpcResult<Value> {
    let id: B256 = args.need(0, "message id")?;
    let network = Network::open(api)?;
    let trace = trace(&network, id)?.ok_or_else(|| network.not_found(id))?;
    Ok(trace.json(&network.members))
}

/// The chain that sent a message, if it can be read here.
pub(super) fn source(network: &Network, id: B256) -> RpcResult<Option<(&Known, Sent)>> {
    for known in &network.known {
        if let Some(sent) = view::sent(&*known.state, id)? {
            return Ok(Some((known, sent)));
        }
    }
    Ok(None)
}

/// The chain that took a message in, if it can be read here.
fn destination(network: &Network, id: B256) -> RpcResult<Option<(&Known, Received)>> {
    for known in &network.known {
        if let Some(received) = view::received(&*known.state, id)? {
            return Ok(Some((known, received)));
        }
    }
    Ok(None)
}

fn trace(network: &Network, id: B256) -> RpcResult<Option<Trace>> {
    let (source, taker) = (source(network, id)?, destination(network, id)?);
    let (origin, to) = match (&source, &taker) {
        (Some((known, sent)), _) => (known.domain, sent.destination),
        (None, Some((known, received))) => (received.origin, known.domain),
        (None, None) => return Ok(None),
    };
    let mut trace = Trace {
        id,
        origin,
        destination: to,
        message: None,
        dispatched: None,
        anchored: None,
        done: None,
        settled: None,
        lane: None,
    };
    if let Some((known, sent)) = source {
        let block = known.chain.block(sent.block)?;
        let block = block.as_deref();
        trace.message = block.and_then(|block| sent_message(block, id));
        let tx = block.and_then(|block| dispatching_tx(block, id));
        trace.dispatched = Some((place(network, known, sent.block)?, tx));
        if let Some(settled) = sent.settled {
            trace.settled = Some((place(network, known, settled.block)?, settled));
        }
    }
    if let Some((known, received)) = taker {
        let block = known.chain.block(received.taken)?;
        let anchor = block.as_ref().and_then(|block| {
            block.plan.claim.anchors.iter().find(|anchor| anchor.domain == origin).cloned()
        });
        if trace.message.is_none() {
            trace.message = block.and_then(|block| inbound_message(&block, id));
        }
        trace.anchored = Some((place(network, known, received.taken)?, anchor));
        if let Some((status, number)) = received.done {
            trace.done = Some((place(network, known, number)?, status, received.gas_used));
        }
    } else if let Some(known) = network.reader(to) {
        let covered = view::anchor(&*known.state, origin)?.map_or(0, |(anchor, _)| anchor.number);
        let lane = view::lane(&*known.state, origin)?;
        trace.lane = Some((covered, lane.map(|lane| lane.status).unwrap_or_default()));
    }
    Ok(Some(trace))
}

/// A block of a chain that can be read here.
fn place(network: &Network, known: &Known, number: u64) -> RpcResult<Place> {
    let block = known.chain.block(number)?;
    let verified = if known.own {
        network.verified.as_ref().map(|verified| verified.head.number >= number)
    } else {
        // A follower re-derived the block itself; what the block says of others is checked apart.
        known.verified.map(|verified| number <= verified)
    };
    Ok(Place {
        block: number,
        at: block.map(|block| (block.hash, block.plan.claim.time_ms)),
        is_final: number <= known.chain.finalized().number,
        verified,
    })
}

/// A message in what a block sends.
fn sent_message(block: &Block, id: B256) -> Option<Message> {
    message_of(&block.outbox, id)
}

/// A message in what a block takes in.
fn inbound_message(block: &Block, id: B256) -> Option<Message> {
    block.plan.body.inbound.iter().find_map(|inbound| message_of(&inbound.items, id))
}

fn message_of(items: &[LaneItem], id: B256) -> Option<Message> {
    items.iter().find_map(|item| match item {
        LaneItem::Message(message) if message.id() == id => Some(message.clone()),
        _ => None,
    })
}

/// The transaction of a block whose logs say that it dispatched a message. Block 0 has none.
pub(super) fn dispatching_tx(block: &Block, id: B256) -> Option<B256> {
    let index = block.receipts.iter().position(|receipt| {
        receipt
            .logs
            .iter()
            .any(|log| log.address == MAILBOX && log.topics() == [DispatchId::SIGNATURE_HASH, id])
    })?;
    block.txs.get(index).map(|tx| tx.hash)
}
