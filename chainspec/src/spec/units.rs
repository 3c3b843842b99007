//! Values as people write them: `250ms`, `30M`, `0.001 gwei`, `2026-01-15T00:00:00Z`, addresses.

use alloy_primitives::{Address, B256, Bytes, U256, hex};
use toml::value::Datetime;

/// Longest duration and latest time that are accepted: sums of a few stay far from overflow.
const MAX_DURATION_MS: u64 = 10 * 365 * 86_400_000;
/// Latest time, ms: 2^46 (the year 4199).
const MAX_TIME_MS: u64 = 1 << 46;

const DURATIONS: &[(&str, u64)] = &[
    ("", 1),
    ("ms", 1),
    ("s", 1000),
    ("m", 60_000),
    ("min", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];
const COUNTS: &[(&str, u64)] =
    &[("", 1), ("k", 1000), ("K", 1000), ("M", 1_000_000), ("G", 1_000_000_000)];
const WEI: &[(&str, u64)] = &[
    ("", 1),
    ("wei", 1),
    ("gwei", 1_000_000_000),
    ("eth", 1_000_000_000_000_000_000),
    ("ether", 1_000_000_000_000_000_000),
];

/// A decimal number and a unit, as a whole number of the smallest unit. Nothing is rounded.
fn scaled(text: &str, units: &[(&str, u64)]) -> Result<U256, String> {
    let text = text.trim();
    let end = text.find(|c: char| !matches!(c, '0'..='9' | '_' | '.')).unwrap_or(text.len());
    let (number, unit) = (&text[..end], text[end..].trim());
    let (_, factor) = units.iter().find(|(name, _)| *name == unit).ok_or_else(|| {
        let known: Vec<_> = units.iter().map(|(name, _)| *name).filter(|n| !n.is_empty()).collect();
        format!("{text:?} has no known unit (known: {})", known.join(", "))
    })?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits: String = whole.chars().chain(fraction.chars()).filter(|c| *c != '_').collect();
    let places = fraction.chars().filter(|c| *c != '_').count();
    if digits.is_empty() || fraction.contains('.') {
        return Err(format!("{text:?} is not a number"));
    }
    if digits.len() > 90 {
        return Err(format!("{text:?} is too large"));
    }
    let value = U256::from_str_radix(&digits, 10).map_err(|_| format!("{text:?} is too large"))?;
    let value =
        value.checked_mul(U256::from(*factor)).ok_or_else(|| format!("{text:?} is too large"))?;
    let divisor = U256::from(10).checked_pow(U256::from(places));
    match divisor {
        Some(divisor) if (value % divisor).is_zero() => Ok(value / divisor),
        _ if value.is_zero() => Ok(value),
        _ => Err(format!("{text:?} is no whole number of the smallest unit")),
    }
}

fn number(value: &toml::Value, units: &[(&str, u64)]) -> Result<U256, String> {
    match value {
        toml::Value::Integer(value) => {
            U256::try_from(*value).map_err(|_| format!("{value} is negative"))
        }
        toml::Value::String(text) => scaled(text, units),
        toml::Value::Float(_) => Err("a float is not exact: put the number in quotes".to_owned()),
        other => Err(format!("a {} is no number with a unit", other.type_str())),
    }
}

fn small(value: U256, most: u64) -> Result<u64, String> {
    let small = u64::try_from(value).ok().filter(|value| *value <= most);
    small.ok_or_else(|| format!("{value} is too large: the most is {most}"))
}

/// A duration in ms; a bare number is ms.
pub fn duration(value: &toml::Value) -> Result<u64, String> {
    small(number(value, DURATIONS)?, MAX_DURATION_MS)
}

/// A count of gas or bytes, with `k`, `M` or `G`.
pub(super) fn count(value: &toml::Value) -> Result<u64, String> {
    small(number(value, COUNTS)?, i64::MAX as u64)
}

/// An amount in wei; hex is accepted too.
pub fn wei(value: &toml::Value) -> Result<U256, String> {
    match value {
        toml::Value::String(text) if text.trim().starts_with("0x") => word(value),
        other => number(other, WEI),
    }
}

/// A 256-bit word: hex, a decimal text or an integer.
pub(super) fn word(value: &toml::Value) -> Result<U256, String> {
    match value {
        toml::Value::String(text) => parse_word(text),
        other => number(other, &[("", 1)]),
    }
}

/// Hex (with `0x`) or decimal digits as a 256-bit word.
pub(super) fn parse_word(text: &str) -> Result<U256, String> {
    let text = text.trim();
    let (digits, radix) = text.strip_prefix("0x").map_or((text, 10), |digits| (digits, 16));
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return Err(format!("{text:?} is no number"));
    }
    U256::from_str_radix(digits, u64::from(radix)).map_err(|_| format!("{text:?} is over 256 bits"))
}

/// A point in time in unix ms: a bare number is unix seconds, a text or a TOML date-time is
/// RFC 3339 with an offset.
pub(super) fn time(value: &toml::Value) -> Result<u64, String> {
    let ms = match value {
        toml::Value::Integer(seconds) => {
            let seconds = u64::try_from(*seconds).map_err(|_| format!("{seconds} is negative"))?;
            seconds.checked_mul(1000).ok_or_else(|| format!("{seconds} is too large"))?
        }
        toml::Value::Datetime(datetime) => unix_ms(datetime)?,
        toml::Value::String(text) if text.bytes().all(|c| c.is_ascii_digit()) => {
            let seconds: u64 = text.parse().map_err(|_| format!("{text:?} is no time"))?;
            seconds.checked_mul(1000).ok_or_else(|| format!("{text:?} is too large"))?
        }
        toml::Value::String(text) => {
            let datetime: Datetime =
                text.trim().parse().map_err(|_| format!("{text:?} is no RFC 3339 time"))?;
            unix_ms(&datetime)?
        }
        other => return Err(format!("a {} is no time", other.type_str())),
    };
    if ms <= MAX_TIME_MS { Ok(ms) } else { Err(format!("{ms} ms is after the year 4000")) }
}

fn unix_ms(datetime: &Datetime) -> Result<u64, String> {
    let (Some(date), Some(time), Some(offset)) = (datetime.date, datetime.time, datetime.offset)
    else {
        return Err(format!("\"{datetime}\" needs date, time and offset"));
    };
    let offset_minutes = match offset {
        toml::value::Offset::Z => 0,
        toml::value::Offset::Custom { minutes } => i64::from(minutes),
    };
    let days = days_from_civil(i64::from(date.year), i64::from(date.month), i64::from(date.day));
    let minutes = days * 1440 + i64::from(time.hour) * 60 + i64::from(time.minute) - offset_minutes;
    let seconds = minutes * 60 + i64::from(time.second.unwrap_or(0));
    let ms = seconds * 1000 + i64::from(time.nanosecond.unwrap_or(0)) / 1_000_000;
    u64::try_from(ms).map_err(|_| format!("\"{datetime}\" is before 1970"))
}

/// Days since 1970-01-01 of a date of the Gregorian calendar. Years are counted from March, so
/// that the leap day is the last of its year.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leaps + (153 * month + 2) / 5 + day - 1 - 719_468
}

/// Unix ms as RFC 3339 in UTC, with a fraction only if there is one; the epoch as `0`.
pub fn show_time(ms: u64) -> String {
    if ms == 0 {
        return "0".to_owned();
    }
    let (days, rest) = ((ms / 86_400_000) as i64, ms % 86_400_000);
    // An estimate that is never too late, then at most two steps.
    let mut year = 1970 + days / 366;
    while days_from_civil(year + 1, 1, 1) <= days {
        year += 1;
    }
    let mut month = 1;
    while month < 12 && days_from_civil(year, month + 1, 1) <= days {
        month += 1;
    }
    let day = days - days_from_civil(year, month, 1) + 1;
    let (hour, minute, second) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1000 % 60);
    let fraction =
        if ms.is_multiple_of(1000) { String::new() } else { format!(".{:03}", ms % 1000) };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

/// Ms with the largest unit that divides them.
pub fn show_duration(ms: &u64) -> String {
    show(U256::from(*ms), &[("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)], "ms")
}

/// A count with the largest of `G`, `M` and `k` that divides it.
pub fn show_count(count: &u64) -> String {
    show(U256::from(*count), &[("G", 1_000_000_000), ("M", 1_000_000), ("k", 1000)], "")
}

/// Wei with the largest unit that divides them, or as gwei with at most three decimals.
pub fn show_wei(wei: &U256) -> String {
    let (gwei, million) = (U256::from(1_000_000_000), U256::from(1_000_000));
    if !wei.is_zero() && (wei % million).is_zero() && !(wei % gwei).is_zero() {
        let thousandths = format!("{:03}", (wei % gwei) / million);
        return format!("{}.{} gwei", wei / gwei, thousandths.trim_end_matches('0'));
    }
    show(*wei, &[(" ether", 1_000_000_000_000_000_000), (" gwei", 1_000_000_000)], " wei")
}

fn show(value: U256, units: &[(&str, u64)], smallest: &str) -> String {
    for (unit, factor) in units {
        let factor = U256::from(*factor);
        if !value.is_zero() && (value % factor).is_zero() {
            return format!("{}{unit}", value / factor);
        }
    }
    format!("{value}{smallest}")
}

/// An address: 20 bytes of hex with `0x`. Mixed case must be the EIP-55 checksum.
pub fn address(value: &toml::Value) -> Result<Address, String> {
    let text = value.as_str().ok_or_else(|| format!("a {} is no address", value.type_str()))?;
    parse_address(text)
}

/// As [`address`], of a text.
pub(super) fn parse_address(text: &str) -> Result<Address, String> {
    let digits =
        text.strip_prefix("0x").ok_or_else(|| format!("{text:?} does not start with 0x"))?;
    if digits.len() != 40 || !digits.bytes().all(|c| c.is_ascii_hexdigit()) {
        return Err(format!("{text:?} is not 40 hex digits after 0x"));
    }
    let address: Address = text.parse().map_err(|_| format!("{text:?} is no address"))?;
    let mixed = digits.bytes().any(|c| c.is_ascii_lowercase())
        && digits.bytes().any(|c| c.is_ascii_uppercase());
    if mixed && address.to_checksum(None) != text {
        return Err(format!("{text:?} has a wrong EIP-55 checksum: a digit may be mistyped"));
    }
    Ok(address)
}

/// A hash: 32 bytes of hex with `0x`.
pub(super) fn hash(value: &toml::Value) -> Result<B256, String> {
    let text = value.as_str().ok_or_else(|| format!("a {} is no hash", value.type_str()))?;
    let digits = text.strip_prefix("0x").filter(|digits| digits.len() == 64);
    digits
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| format!("{text:?} is not 64 hex digits after 0x"))
}

/// Bytes as hex with `0x`.
pub(super) fn bytes(value: &toml::Value) -> Result<Bytes, String> {
    let text = value.as_str().ok_or_else(|| format!("a {} is no hex text", value.type_str()))?;
    parse_bytes(text)
}

/// As [`bytes`], of a text; `0x` may be missing.
pub(super) fn parse_bytes(text: &str) -> Result<Bytes, String> {
    let text = text.trim();
    hex::decode(text).map(Bytes::from).map_err(|_| {
        let shown: String = text.chars().take(20).collect();
        format!("{shown:?}... is not an even number of hex digits")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(text: &str) -> toml::Value {
        toml::Value::String(text.to_owned())
    }

    #[test]
    fn durations_read_as_people_write_them() {
        for (written, ms) in
            [("250ms", 250), ("2s", 2000), ("1.5 s", 1500), ("10m", 600_000), ("1h", 3_600_000)]
        {
            assert_eq!(duration(&text(written)), Ok(ms), "{written}");
        }
        assert_eq!(duration(&toml::Value::Integer(250)), Ok(250));
        for bad in [
            "",
            "s",
            "-1s",
            "1.2.3s",
            "1 fortnight",
            "0.5ms",
            "99999d",
            "1e3s",
            "9".repeat(99).as_str(),
        ] {
            assert!(duration(&text(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn amounts_and_counts_are_exact() {
        assert_eq!(count(&text("30M")), Ok(30_000_000));
        assert_eq!(count(&text("1.5k")), Ok(1500));
        assert_eq!(count(&text("60_000_000")), Ok(60_000_000));
        assert_eq!(wei(&text("1 gwei")), Ok(U256::from(1_000_000_000u64)));
        assert_eq!(wei(&text("0.001gwei")), Ok(U256::from(1_000_000u64)));
        assert_eq!(wei(&text("10000 ether")), Ok(U256::from(10u64).pow(U256::from(22))));
        assert_eq!(wei(&text("0x10")), Ok(U256::from(16)));
        assert_eq!(show_wei(&U256::from(10_000_000)), "0.01 gwei");
        assert_eq!(show_wei(&U256::from(1_000_000_001)), "1000000001 wei");
        assert!(wei(&text("0.1 wei")).is_err());
        assert!(wei(&toml::Value::Integer(-1)).is_err());
        assert!(wei(&toml::Value::Float(0.5)).is_err());
    }

    #[test]
    fn times_are_rfc_3339_or_unix_seconds() {
        assert_eq!(time(&text("1970-01-01T00:00:00Z")), Ok(0));
        assert_eq!(time(&text("2000-02-29T12:00:00.250Z")), Ok(951_825_600_250));
        assert_eq!(time(&text("2027-01-15T01:00:00+01:00")), Ok(1_799_971_200_000));
        assert_eq!(time(&toml::Value::Integer(7)), Ok(7000));
        for bad in ["2027-01-15", "2027-01-15T00:00:00", "tomorrow", "1969-12-31T23:59:59Z", ""] {
            assert!(time(&text(bad)).is_err(), "{bad}");
        }
        assert_eq!(time(&text("7")), Ok(7000));
        assert_eq!(show_time(951_825_600_250), "2000-02-29T12:00:00.250Z");
        assert_eq!(show_time(0), "0");
    }

    #[test]
    fn addresses_with_a_mistyped_digit_are_refused() {
        let right = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
        assert!(parse_address(right).is_ok());
        assert!(parse_address(&right.to_lowercase()).is_ok());
        assert!(parse_address(&right.replace("Fd6", "fd6")).is_err());
        assert!(parse_address(&right[..41]).is_err());
        assert!(parse_address(&right[2..]).is_err());
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(ms in 0..MAX_DURATION_MS, gas in 0..i64::MAX as u64, at in 0..MAX_TIME_MS, limbs: [u64; 4]) {
            prop_assert_eq!(duration(&text(&show_duration(&ms))), Ok(ms));
            prop_assert_eq!(count(&text(&show_count(&gas))), Ok(gas));
            prop_assert_eq!(time(&text(&show_time(at))), Ok(at));
            let amount = U256::from_limbs(limbs);
            prop_assert_eq!(wei(&text(&show_wei(&amount))), Ok(amount));
        }

        #[test]
        fn no_text_panics(bytes in "\\PC{0,40}", n: i64) {
            for value in [text(&bytes), toml::Value::Integer(n)] {
                let _ = (duration(&value), count(&value), wei(&value), time(&value), word(&value));
                let _ = (address(&value), self::bytes(&value));
            }
        }
    }
}
