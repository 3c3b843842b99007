//! A message's way from its dispatch to its settlement, as JSON.

use alloy_primitives::{B256, U256};
use causeway_bridge::metalayer::view::{MemberView, Settled};
use causeway_chainspec::mailbox::{LaneStatus, is_transfer, transfer_body};
use causeway_chainspec::{Anchor, DeliveryStatus, Message};
use serde_json::{Value, json};

use super::network::name_of;

/// A block in which something happened to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Number.
    pub(super) block: u64,
    /// Hash and time in ms; `None` if the block is not kept.
    pub(super) at: Option<(B256, u64)>,
    /// Can no longer change.
    pub(super) is_final: bool,
    /// Whether this process checked all that leads to it, if that is known.
    pub(super) verified: Option<bool>,
}

/// Everything known of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trace {
    /// Its id.
    pub(super) id: B256,
    /// Domain it comes from.
    pub(super) origin: u32,
    /// Domain it goes to.
    pub(super) destination: u32,
    /// Its content, if a block that holds it is kept here.
    pub(super) message: Option<Message>,
    /// Where it was sent, and by which transaction.
    pub(super) dispatched: Option<(Place, Option<B256>)>,
    /// Where its destination took it in, and with which anchor.
    pub(super) anchored: Option<(Place, Option<Anchor>)>,
    /// How and where it ended, and the gas its recipient used.
    pub(super) done: Option<(Place, DeliveryStatus, u64)>,
    /// How its source settled it.
    pub(super) settled: Option<(Place, Settled)>,
    /// Newest block of the source that the destination has taken in, and whether the destination
    /// takes more, if the destination can be read here.
    pub(super) lane: Option<(u64, LaneStatus)>,
}

impl Trace {
    /// How it ended, if it did.
    pub(super) fn end(&self) -> Option<DeliveryStatus> {
        let done = self.done.map(|(_, status, _)| status);
        done.or_else(|| self.settled.map(|(_, settled)| settled.status))
    }

    /// The one word for where it stands.
    pub(super) fn status(&self) -> &'static str {
        match (self.end(), &self.anchored, &self.dispatched) {
            (Some(end), _, _) => end.name(),
            (None, Some(_), _) => "anchored",
            (None, None, Some((place, _))) if !place.is_final => "dispatched",
            (None, None, _) => "final",
        }
    }

    /// The answer to `metalayer_getMessage`.
    pub(super) fn json(&self, members: &[MemberView]) -> Value {
        let mut answer = json!({
            "id": self.id,
            "origin": self.origin,
            "originName": name_of(members, self.origin),
            "destination": self.destination,
            "destinationName": name_of(members, self.destination),
            "status": self.status(),
            "settled": self.settled.is_some(),
            "hint": self.hint(members),
            "timeline": self.timeline(),
        });
        if let (Some(message), Some(fields)) = (&self.message, answer.as_object_mut()) {
            content(message, fields);
        }
        answer
    }

    fn timeline(&self) -> Value {
        let mut timeline = serde_json::Map::new();
        let mut add = |name: &str, place: &Place, more: Value| {
            let mut step = json!({
                "block": place.block,
                "blockHash": place.at.map(|(hash, _)| hash),
                "time": place.at.map(|(_, time_ms)| time_ms),
                "final": place.is_final,
                "verified": place.verified,
            });
            if let (Some(step), Value::Object(more)) = (step.as_object_mut(), more) {
                step.extend(more);
            }
            timeline.insert(name.to_owned(), step);
        };
        if let Some((place, tx)) = &self.dispatched {
            add("dispatched", place, json!({ "txHash": tx }));
        }
        if let Some((place, anchor)) = &self.anchored {
            let anchor = anchor.as_ref();
            add(
                "anchored",
                place,
                json!({
                    "sourceBlock": anchor.map(|anchor| anchor.number),
                    "daHeight": anchor.map(|anchor| anchor.da.height),
                }),
            );
        }
        if let Some((place, status, gas_used)) = &self.done {
            add("done", place, json!({ "status": status.name(), "gasUsed": gas_used }));
        }
        if let Some((place, settled)) = &self.settled {
            let refund = U256::from(settled.fee_refund);
            let more = json!({ "status": settled.status.name(), "feeRefund": refund });
            add("settled", place, more);
        }
        timeline.into()
    }

    /// What happens next, or what to do, in a sentence.
    fn hint(&self, members: &[MemberView]) -> String {
        let (from, to) = (name_of(members, self.origin), name_of(members, self.destination));
        if let Some(end) = self.end() {
            return self.end_hint(end, &from, &to);
        }
        if self.anchored.is_some() {
            let expiry = self.message.as_ref().map_or_else(String::new, |message| {
                format!(" It expires at {} ms of {to}'s time.", message.terms.expiry_ms)
            });
            return format!(
                "{to} has taken it in. It waits for its turn, for {to}'s base fee to fall to the \
                 gas price paid, or for the coins it moves to be covered.{expiry}"
            );
        }
        match (&self.dispatched, self.lane) {
            (Some((place, _)), _) if !place.is_final => format!(
                "{from} block {} is not final on its DA layer yet; {to} takes it in when it is.",
                place.block
            ),
            (_, Some((_, LaneStatus::Paused))) => format!(
                "The directory has paused {from} on {to}: nothing is delivered until a record \
                 resumes it. What is not delivered in time is paid back."
            ),
            (Some((place, _)), Some((covered, _))) => format!(
                "Final on {from}. {to} has taken in {from}'s blocks up to {covered}; the message \
                 is in block {}. If this does not move, run `causeway metalayer doctor`.",
                place.block
            ),
            _ => format!(
                "Final on {from}. {to} is not followed by this node: ask a node of {to} whether it \
                 arrived."
            ),
        }
    }

    fn end_hint(&self, end: DeliveryStatus, from: &str, to: &str) -> String {
        let what = match end {
            DeliveryStatus::Delivered => format!("Delivered on {to}."),
            DeliveryStatus::Reverted => format!(
                "The recipient on {to} reverted or ran out of gas: check what it does with this \
                 message, or send again with more gas."
            ),
            DeliveryStatus::NoRecipient => {
                format!("Nobody on {to} can take it: check the recipient's address.")
            }
            DeliveryStatus::GasLimit => {
                format!("It asks for more gas than {to} gives a delivery: send again with less.")
            }
            DeliveryStatus::Expired => format!(
                "Its time was over before {to} delivered it: send again, with a longer lifetime."
            ),
            DeliveryStatus::Malformed => format!(
                "Its body is no transfer, but it is addressed to {to}'s Mailbox: use \
                 transferRemote."
            ),
            DeliveryStatus::Refused => format!(
                "It moved more coins than {from} holds as far as {to} knows: {to} refused it."
            ),
            DeliveryStatus::Crowded => format!(
                "Too many messages from {from} waited on {to} already: send again later, or pay a \
                 higher gas price."
            ),
        };
        let moved = self.message.as_ref().is_some_and(is_transfer);
        let back = match (end, moved) {
            (DeliveryStatus::Delivered, _) | (_, false) => "what is left of the fee",
            (_, true) => "the amount and what is left of the fee",
        };
        let next = match &self.settled {
            Some((place, _)) if place.is_final => format!("Settled: {from} paid back {back}."),
            Some((place, _)) => {
                format!("Settled in {from} block {}, which is not final yet.", place.block)
            }
            None => format!("{from} pays back {back} when it takes in the receipt."),
        };
        format!("{what} {next}")
    }
}

/// What the message says, and the terms of its delivery.
fn content(message: &Message, fields: &mut serde_json::Map<String, Value>) {
    let terms = &message.terms;
    let more = json!({
        "sender": message.sender,
        "recipient": message.recipient,
        "nonce": message.nonce,
        "body": message.body,
        "gasLimit": terms.gas_limit,
        "gasPrice": U256::from(terms.gas_price),
        "expiry": terms.expiry_ms,
        "refundTo": terms.refund_to,
        "fee": terms.fee(message.body.len()),
        "kind": "message",
    });
    if let Value::Object(more) = more {
        fields.extend(more);
    }
    // A message to a Mailbox whose body is no transfer fails at its turn; it moves nothing.
    let body = is_transfer(message).then(|| transfer_body(&message.body)).flatten();
    if let Some(body) = body {
        fields.insert("kind".into(), "transfer".into());
        fields.insert(
            "transfer".into(),
            json!({
                "asset": body.asset,
                "amount": body.amount,
                "from": body.from,
                "recipient": body.recipient,
            }),
        );
    }
}
