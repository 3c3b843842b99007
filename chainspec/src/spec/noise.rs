//! Random changes of a spec: none may make the parser panic.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use proptest::prelude::*;

use super::export::{Format, export};
use super::network::tests::member;
use super::tests::{read, rich};
use super::{Inputs, parse};

fn any_value() -> impl Strategy<Value = toml::Value> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(toml::Value::Integer),
        any::<f64>().prop_map(toml::Value::Float),
        any::<bool>().prop_map(toml::Value::Boolean),
        "\\PC{0,12}".prop_map(toml::Value::String),
        prop_oneof![Just("0s"), Just("1h"), Just("9G"), Just("0x00"), Just("1 ether"), Just("evm")]
            .prop_map(|text| toml::Value::String(text.to_owned())),
        Just(toml::Value::Datetime("1979-05-27T07:32:00Z".parse().unwrap())),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(toml::Value::Array),
            prop::collection::vec(("[a-z0-9.]{1,6}", inner), 0..4)
                .prop_map(|entries| toml::Value::Table(entries.into_iter().collect())),
        ]
    })
}

/// Replaces, removes or adds a value at a place that `picks` leads to.
fn mutate(value: &mut toml::Value, picks: &[usize], new: toml::Value) {
    let Some((pick, rest)) = picks.split_first() else {
        *value = new;
        return;
    };
    match value {
        toml::Value::Table(table) if !table.is_empty() => {
            let key = table.keys().nth(pick % table.len()).unwrap().clone();
            if pick % 17 == 0 {
                table.remove(&key);
            } else if pick % 13 == 0 {
                table.insert(format!("{key}x"), new);
            } else {
                mutate(&mut table[&key], rest, new);
            }
        }
        toml::Value::Array(items) if !items.is_empty() => {
            let at = pick % items.len();
            mutate(&mut items[at], rest, new);
        }
        other => *other = new,
    }
}

/// A member with the seed of its network in it.
static MEMBER: LazyLock<String> = LazyLock::new(|| member("beta").to_toml());

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_change_of_a_spec_makes_the_parser_panic(
        which in 0..3usize,
        edits in prop::collection::vec((prop::collection::vec(any::<usize>(), 1..5), any_value()), 1..4),
    ) {
        let text = match which {
            0 => rich(),
            1 => read(&rich()).to_toml(),
            _ => MEMBER.clone(),
        };
        let mut value = toml::Value::Table(toml::from_str(&text).unwrap());
        for (picks, new) in edits {
            mutate(&mut value, &picks, new);
        }
        if let Ok(text) = toml::to_string(&value)
            && let Ok((spec, _)) = parse(&text, &Inputs::NONE)
        {
            prop_assert_eq!(read(&spec.to_toml()).identity(), spec.identity());
            let _ = (spec.rules_hash(u64::MAX), export(&spec, Format::Viem, &BTreeMap::new()));
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(noise in "\\PC{0,60}", at in 0usize..800) {
        let mut text = rich();
        let at = (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.insert_str(at, &noise);
        let _ = parse(&text, &Inputs::NONE);
        let _ = parse(&noise, &Inputs::NONE);
    }
}
