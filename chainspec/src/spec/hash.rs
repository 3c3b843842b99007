//! What the two hashes of a spec are made of. Frozen by `tests/vectors/spec.json`.
//!
//! Both are `keccak256(domain || rlp(list))`. In the **identity** (`causeway/identity/1`), in
//! this order: chain id, vm, name of the fork at genesis, genesis time in ms, accounts (address,
//! balance, nonce, keccak of the code, non-zero storage), preinstalls (address, keccak of the
//! creation code), DA layer, DA start, `[da.<layer>]`, Metalayer (enabled, domain),
//! [`SYSTEM_VERSION`], and of a member of the Metalayer its coin and the lifetime of messages. The
//! identity of a member is [`crate::directory::Directory::identity`] of that: also of the seed,
//! which names each member by this hash without it.
//!
//! In the **rules hash** (`causeway/rules/1`): identity without the seed, name of the fork in
//! force, gas (limit, rate, burst, target, and bytes: rate, burst, limit, and candidates), fees
//! (minimum, floor, denominator, recipient), sequencer mode, `[sequencer.<mode>]`, keys in force,
//! posters in force, clocks (DA interval, window, drift, forced delay), lane rate.
//!
//! In neither: names, kind, token, block time, idle time, endpoints, and what is only scheduled.

use std::sync::OnceLock;

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_rlp::{BufMut, Encodable};

use crate::l1::bridge::{BRIDGE_VERSION, Bridge};

use super::{ChainSpec, GenesisAccount, Preinstall};

/// Version of the system accounts and constants that every block 0 starts with. Changing what
/// they are means another version, hence other identities.
pub const SYSTEM_VERSION: u64 = 1;

/// The identity of a spec, computed when first asked for. A clone starts empty, so that a changed
/// copy never shows the identity of its origin.
#[derive(Debug, Default)]
pub struct IdentityMemo {
    base: OnceLock<B256>,
    identity: OnceLock<B256>,
}

impl Clone for IdentityMemo {
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// keccak256(domain || rlp of the fields).
struct Hasher(Vec<u8>);

impl Hasher {
    fn add(&mut self, field: &dyn Encodable) -> &mut Self {
        field.encode(&mut self.0);
        self
    }

    fn preimage(&self, domain: &str) -> Vec<u8> {
        let mut out = domain.as_bytes().to_vec();
        List(&self.0).encode(&mut out);
        out
    }
}

/// Encoded items as an RLP list.
struct List<'a>(&'a [u8]);

impl Encodable for List<'_> {
    fn encode(&self, out: &mut dyn BufMut) {
        alloy_rlp::Header { list: true, payload_length: self.0.len() }.encode(out);
        out.put_slice(self.0);
    }
    fn length(&self) -> usize {
        self.0.len() + alloy_rlp::length_of_length(self.0.len())
    }
}

fn list<T>(items: impl IntoIterator<Item = T>, encode: impl Fn(T, &mut Hasher)) -> Vec<u8> {
    let mut out = Vec::new();
    for item in items {
        let mut fields = Hasher(Vec::new());
        encode(item, &mut fields);
        List(&fields.0).encode(&mut out);
    }
    out
}

/// What the identity is the hash of.
pub(crate) fn identity_preimage(spec: &ChainSpec) -> Vec<u8> {
    let genesis = &spec.genesis;
    let alloc =
        list(&genesis.alloc, |(address, account), out| account_fields(address, account, out));
    let preinstalls =
        list(&genesis.preinstalls, |Preinstall { address, creation_code, .. }, out| {
            out.add(address).add(&keccak256(creation_code));
        });
    let mut fields = Hasher(Vec::new());
    fields
        .add(&spec.chain_id)
        .add(&spec.vm)
        .add(&spec.fork_at(genesis.time_ms).name())
        .add(&genesis.time_ms)
        .add(&List(&alloc))
        .add(&List(&preinstalls))
        .add(&spec.da.layer)
        .add(&spec.da.start)
        .add(&List(&options(&spec.da.options)))
        .add(&spec.metalayer.enabled)
        .add(&spec.metalayer.domain)
        .add(&SYSTEM_VERSION);
    if spec.metalayer.enabled {
        fields.add(&(spec.metalayer.coin as u8)).add(&spec.metalayer.ttl_ms);
    }
    if Bridge::of(spec).is_some() {
        fields.add(&BRIDGE_VERSION);
    }
    fields.preimage("causeway/identity/1")
}

fn account_fields(address: &Address, account: &GenesisAccount, out: &mut Hasher) {
    let set = account.storage.iter().filter(|(_, value)| !value.is_zero());
    let storage = list(set, |(slot, value): (&U256, &U256), out| {
        out.add(slot).add(value);
    });
    out.add(address)
        .add(&account.balance)
        .add(&account.nonce)
        .add(&keccak256(&account.code))
        .add(&List(&storage));
}

/// The identity of a chain on its own.
pub(super) fn base(spec: &ChainSpec) -> B256 {
    *spec.memo.base.get_or_init(|| keccak256(identity_preimage(spec)))
}

/// The identity: of a member, also of the network it begins in.
pub(super) fn identity(spec: &ChainSpec) -> B256 {
    *spec.memo.identity.get_or_init(|| {
        let base = base(spec);
        spec.metalayer.directory.as_ref().map_or(base, |seed| seed.identity(base))
    })
}

/// What the rules hash at a time is the hash of.
pub(crate) fn rules_preimage(spec: &ChainSpec, time_ms: u64) -> Vec<u8> {
    let (gas, fees, sequencer) = (&spec.gas, &spec.fees, &spec.sequencer);
    let mut fields = Hasher(Vec::new());
    fields.add(&base(spec)).add(&spec.fork_at(time_ms).name());
    fields.add(&gas.limit).add(&gas.rate).add(&gas.burst).add(&gas.target);
    fields.add(&gas.rate_bytes).add(&gas.burst_bytes).add(&gas.limit_bytes);
    fields.add(&gas.limit_candidates);
    fields.add(&fees.min_base_fee).add(&fees.floor).add(&fees.denominator).add(&fees.recipient);
    fields.add(&sequencer.mode).add(&List(&options(&sequencer.options)));
    fields.add(&sequencer.keys_at(time_ms).to_vec());
    fields.add(&sequencer.posters_at(time_ms).to_vec());
    fields.add(&spec.da.interval_ms).add(&sequencer.window_ms).add(&sequencer.drift_ms);
    fields.add(&sequencer.forced_delay_ms).add(&sequencer.lane_rate);
    fields.preimage("causeway/rules/1")
}

pub(super) fn rules(spec: &ChainSpec, time_ms: u64) -> B256 {
    keccak256(rules_preimage(spec, time_ms))
}

/// A section of a backend: (key, kind, value) in the order of the keys.
fn options(table: &toml::Table) -> Vec<u8> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.as_str());
    list(entries, |(key, value), out| {
        out.add(key);
        option(value, out);
    })
}

fn option(value: &toml::Value, out: &mut Hasher) {
    match value {
        // The case of hex digits says nothing.
        toml::Value::String(text) if text.starts_with("0x") => {
            out.add(&"string").add(&text.to_ascii_lowercase())
        }
        toml::Value::String(text) => out.add(&"string").add(text),
        toml::Value::Integer(number) => out.add(&"integer").add(&number.to_string()),
        toml::Value::Float(number) => out.add(&"float").add(&number.to_bits()),
        toml::Value::Boolean(value) => out.add(&"boolean").add(value),
        toml::Value::Datetime(time) => out.add(&"datetime").add(&time.to_string()),
        toml::Value::Array(items) => out.add(&"array").add(&List(&list(items, option))),
        toml::Value::Table(table) => out.add(&"table").add(&List(&options(table))),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::tests::{read, rich};
    use crate::spec::{Fork, Kind, Public};

    type Edit<'a> = &'a dyn Fn(&mut ChainSpec);

    /// Each edit alone changes (identity, rules hash) as told.
    #[track_caller]
    fn each_changes(edits: &[Edit<'_>], (identity, rules): (bool, bool)) {
        let base = read(&rich());
        let now = base.genesis.time_ms;
        for (at, edit) in edits.iter().enumerate() {
            let mut spec = base.clone();
            edit(&mut spec);
            let changed =
                (spec.identity() != base.identity(), spec.rules_hash(now) != base.rules_hash(now));
            assert_eq!(changed, (identity, rules), "edit {at}");
        }
    }

    fn first(spec: &mut ChainSpec) -> &mut GenesisAccount {
        spec.genesis.alloc.values_mut().next().unwrap()
    }

    #[test]
    fn the_genesis_part_is_in_both() {
        let edits: [Edit<'_>; 12] = [
            &|s| s.chain_id += 1,
            &|s| s.vm = "ledger".to_owned(),
            &|s| s.forks = vec![(Fork::Prague, 0), (Fork::Osaka, 0)],
            &|s| s.genesis.time_ms += 1,
            &|s| first(s).nonce += 1,
            &|s| {
                first(s).storage.insert(U256::ZERO, U256::ONE);
            },
            &|s| first(s).code = vec![1].into(),
            &|s| s.genesis.preinstalls[0].creation_code = vec![1].into(),
            &|s| s.da.start += 1,
            &|s| drop(s.da.options.insert("signer".to_owned(), "x".into())),
            &|s| s.metalayer.enabled = true,
            &|s| s.metalayer.domain += 1,
        ];
        each_changes(&edits, (true, true));
    }

    #[test]
    fn the_rules_are_in_the_rules_hash_only() {
        let other = Address::repeat_byte(9);
        let edits: [Edit<'_>; 21] = [
            &|s| s.da.interval_ms += 1,
            &|s| s.sequencer.mode.push('x'),
            &|s| drop(s.sequencer.options.insert("x".to_owned(), 1.into())),
            &|s| s.gas.limit += 1,
            &|s| s.gas.rate += 1,
            &|s| s.gas.burst += 1,
            &|s| s.gas.target += 1,
            &|s| s.gas.rate_bytes += 1,
            &|s| s.gas.burst_bytes += 1,
            &|s| s.gas.limit_bytes += 1,
            &|s| s.gas.limit_candidates += 1,
            &|s| s.fees.min_base_fee += 1,
            &|s| s.fees.floor += 1,
            &|s| s.fees.denominator += 1,
            &|s| s.fees.recipient = other,
            &|s| s.sequencer.keys[0].keys[0] = other,
            &|s| s.sequencer.posters[0].keys[0] = other,
            &|s| s.sequencer.window_ms += 1,
            &|s| s.sequencer.drift_ms += 1,
            &|s| s.sequencer.forced_delay_ms += 1,
            &|s| s.sequencer.lane_rate += 1,
        ];
        each_changes(&edits, (false, true));
    }

    #[test]
    fn the_rest_is_in_neither() {
        let other = Address::repeat_byte(9);
        let edits: [Edit<'_>; 9] = [
            &|s| s.name.push('x'),
            &|s| s.short_name.push('x'),
            &|s| s.kind = Kind::Mainnet,
            &|s| s.token.symbol.push('x'),
            &|s| s.sequencer.block_time_ms += 1,
            &|s| s.sequencer.idle_ms += 1,
            &|s| s.public = Public::default(),
            &|s| s.genesis.preinstalls[0].name.push('x'),
            &|s| s.sequencer.posters[1].keys[0] = other,
        ];
        each_changes(&edits, (false, false));
    }

    #[test]
    fn of_a_member_the_seed_is_in_the_identity_only() {
        let spec = crate::spec::network::tests::member("beta");
        let hashes = |spec: &ChainSpec| {
            (spec.base_identity(), spec.rules_hash(spec.genesis.time_ms), spec.identity())
        };
        let before = hashes(&spec);
        let seeds: [Edit<'_>; 3] = [
            &|s| s.metalayer.directory.as_mut().unwrap().max_lag_ms += 1,
            &|s| s.metalayer.directory.as_mut().unwrap().members[0].base = B256::ZERO,
            &|s| s.metalayer.directory.as_mut().unwrap().transfers.clear(),
        ];
        for edit in seeds {
            let mut other = spec.clone();
            edit(&mut other);
            let after = hashes(&other);
            assert_eq!((before.0, before.1), (after.0, after.1));
            assert_ne!(before.2, after.2);
        }
        let own: [Edit<'_>; 2] =
            [&|s| s.metalayer.coin = crate::mailbox::Coin::Own, &|s| s.metalayer.ttl_ms += 1000];
        for edit in own {
            let mut other = spec.clone();
            edit(&mut other);
            let after = hashes(&other);
            assert!(before.0 != after.0 && before.1 != after.1 && before.2 != after.2);
        }
    }

    #[test]
    fn what_is_scheduled_counts_from_its_time() {
        let base = read(&rich());
        let now = base.genesis.time_ms;
        let later = 1_800_000_000_000;
        assert_ne!(base.rules_hash(now), base.rules_hash(later), "fork and posters change in 2027");
        assert_eq!(base.rules_hash(now), base.rules_hash(now + 1));
        let mut upper = base.clone();
        let signer = base.da.options["signer"].as_str().unwrap().to_lowercase();
        upper.da.options.insert("signer".to_owned(), signer.into());
        assert_eq!(upper.identity(), base.identity(), "the case of hex digits is no difference");
    }
}
