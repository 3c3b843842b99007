//! Keys that the parent chain's system config sets, and when they come into force: a value of the
//! cursor, so that a reorg takes them back.

use alloy_primitives::Address;
use alloy_rlp::{RlpDecodable, RlpEncodable};
use causeway_chainspec::{ChainSpec, KeyRole, KeyUpdate};

/// What the parent chain set. Keys of the spec's schedule count until there is a key of a role here.
#[derive(Debug, Clone, Default, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct Keys {
    /// Empty if none was set.
    posters: Vec<Address>,
    /// Empty if none was set.
    sequencers: Vec<Address>,
    /// Not in force yet, oldest first.
    pending: Vec<Pending>,
}

#[derive(Debug, Clone, PartialEq, Eq, RlpEncodable, RlpDecodable)]
struct Pending {
    /// Time of the parent block that set them, ms.
    at_ms: u64,
    update: KeyUpdate,
}

impl Keys {
    /// After a DA block of `time_ms` that set `updates`: what is old enough by then comes into force.
    /// `None` as long as nothing was ever set.
    pub(crate) fn after(
        before: Option<&Self>,
        spec: &ChainSpec,
        time_ms: u64,
        updates: &[KeyUpdate],
    ) -> Option<Self> {
        if before.is_none() && updates.is_empty() {
            return None;
        }
        let mut keys = before.cloned().unwrap_or_default();
        let new = updates.iter().map(|update| Pending { at_ms: time_ms, update: update.clone() });
        keys.pending.extend(new);
        let due = keys.pending.iter().take_while(|pending| is_due(spec, pending, time_ms)).count();
        for Pending { update, .. } in keys.pending.drain(..due) {
            match update.role() {
                Some(KeyRole::Posters) => keys.posters = update.keys,
                Some(KeyRole::Sequencers) => keys.sequencers = update.keys,
                None => {}
            }
        }
        Some(keys)
    }

    /// Those that may post in a DA block of `time_ms` after the one these keys stand at.
    pub fn posters(keys: Option<&Self>, spec: &ChainSpec, time_ms: u64) -> Vec<Address> {
        in_force(keys, spec, time_ms, KeyRole::Posters)
    }

    /// Those that may seal what a DA block of `time_ms` carries.
    pub fn sequencers(keys: Option<&Self>, spec: &ChainSpec, time_ms: u64) -> Vec<Address> {
        in_force(keys, spec, time_ms, KeyRole::Sequencers)
    }
}

fn in_force(keys: Option<&Keys>, spec: &ChainSpec, time_ms: u64, role: KeyRole) -> Vec<Address> {
    let keys = Keys::after(keys, spec, time_ms, &[]).unwrap_or_default();
    let (set, scheduled) = match role {
        KeyRole::Posters => (keys.posters, spec.sequencer.posters_at(time_ms)),
        KeyRole::Sequencers => (keys.sequencers, spec.sequencer.keys_at(time_ms)),
    };
    if set.is_empty() { scheduled.to_vec() } else { set }
}

/// An update counts a window and a drift after the parent block that made it: by then whatever was
/// sealed or posted before it was known is in DA or too late.
fn is_due(spec: &ChainSpec, pending: &Pending, time_ms: u64) -> bool {
    let delay = spec.sequencer.window_ms.saturating_add(spec.sequencer.drift_ms);
    pending.at_ms.saturating_add(delay) <= time_ms
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{INTERVAL, Node, T0, entry, spec};

    const NEW: Address = Address::repeat_byte(9);

    #[test]
    fn a_change_counts_a_window_and_a_drift_later() {
        let mut node = Node::new(spec());
        let mut setting = entry(node.cursor().da, T0 + 100, vec![], vec![]);
        setting.keys = vec![
            KeyUpdate::new(KeyRole::Posters, vec![Address::repeat_byte(8)]),
            KeyUpdate::new(KeyRole::Posters, vec![NEW]),
        ];
        node.read(setting);
        let old = spec().sequencer.posters_at(T0).to_vec();
        let due = T0 + 100 + 8_000 + 400;
        let posters = |node: &Node, time_ms| node.cursor().posters(&node.spec, time_ms);
        assert_eq!(posters(&node, due - 1), old);
        // The last of one block counts; who asks ahead gets what derivation will find.
        assert_eq!(posters(&node, due), [NEW]);
        node.idle_until(due - INTERVAL);
        assert_eq!(posters(&node, node.cursor().time_ms), old);
        node.idle_until(due);
        assert_eq!(posters(&node, node.cursor().time_ms), [NEW]);
        assert_eq!(node.cursor().keys.as_ref().unwrap().pending, []);
        // The other role was not touched.
        assert_eq!(node.cursor().sequencers(&node.spec, due), spec().sequencer.keys_at(due));
        // And a cursor survives its record.
        let record = alloy_rlp::encode(node.cursor());
        assert_eq!(alloy_rlp::decode_exact(&record), Ok(node.cursor().clone()));
    }

    #[test]
    fn a_cursor_without_changes_is_as_short_as_before() {
        let mut node = Node::new(spec());
        node.idle_until(T0 + 1_000);
        assert_eq!(node.cursor().keys, None);
        assert_eq!(
            alloy_rlp::decode_exact(alloy_rlp::encode(node.cursor())),
            Ok(node.cursor().clone())
        );
    }

    #[test]
    fn seals_are_checked_with_the_keys_in_force() {
        let mut node = Node::new(spec());
        let mut setting = entry(node.cursor().da, T0 + 100, vec![], vec![]);
        setting.keys = vec![KeyUpdate::new(KeyRole::Sequencers, vec![NEW])];
        node.read(setting);
        let sealers = |node: &Node| {
            let found = std::cell::RefCell::new(Vec::new());
            let block = node.build(&node.cursor().safe, node.cursor().time_ms + 50, None);
            let next = entry(
                node.cursor().da,
                node.cursor().time_ms + INTERVAL,
                vec![node.span(&[block])],
                vec![],
            );
            let verify = |context: &causeway_chainspec::SealContext, _: &_, _: &_| {
                found.replace(context.keys.clone());
                Ok(())
            };
            crate::derive::derive(&node.spec, node.cursor(), &next, node, &verify).unwrap();
            found.into_inner()
        };
        assert_eq!(sealers(&node), [Address::repeat_byte(1)]);
        node.idle_until(T0 + 8_500);
        assert_eq!(sealers(&node), [NEW]);
    }
}
