//! Amounts as people choose them: round ones by their digits and zeros, any others by how many bits
//! they have, which compresses, and the bits, which do not.
//!
//! A word of at most 32 bytes has a symbol: 0 to 128 for a number of so many bits; 128 + n for n
//! bytes above 16 that stand elsewhere; 144 + n for n bits (1 to 64) times a power of ten, from 1,000
//! on, which stands elsewhere, too. Of the bits the highest, a 1, is not written.

use super::rlp::trimmed;
use super::wire::Malformed;

/// Most bits of a plain number.
const PLAIN: u8 = 128;
/// Most bytes of a plain number.
const PLAIN_BYTES: usize = 16;
/// Below the symbols of round numbers.
const ROUND: u8 = 144;
/// The highest symbol.
const LAST: u8 = ROUND + 64;

/// What a word is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A number.
    Plain(u128),
    /// Digits that do not end in 0, and how many zeros follow: 3 or more.
    Round(u64, u8),
    /// So many bytes, from 17 to 32.
    Wide(usize),
}

impl Form {
    /// Of a word without leading zeros.
    pub(super) fn of(word: &[u8]) -> Self {
        if word.len() > PLAIN_BYTES {
            return Self::Wide(word.len());
        }
        let value = word.iter().fold(0, |value, byte| value << 8 | u128::from(*byte));
        rounded(value).map_or(Self::Plain(value), |(digits, zeros)| Self::Round(digits, zeros))
    }

    /// The symbol.
    pub(super) fn symbol(self) -> u8 {
        match self {
            Self::Plain(value) => (u128::BITS - value.leading_zeros()) as u8,
            Self::Round(digits, _) => ROUND + (u64::BITS - digits.leading_zeros()) as u8,
            Self::Wide(bytes) => PLAIN + (bytes - PLAIN_BYTES) as u8,
        }
    }
}

/// Digits and zeros of a number with at least three zeros, if the digits are no longer than a u64.
fn rounded(value: u128) -> Option<(u64, u8)> {
    let (mut left, mut zeros) = (value, 0);
    // Until division is cheap.
    while left > u128::from(u64::MAX) {
        if !left.is_multiple_of(10) {
            return None;
        }
        (left, zeros) = (left / 10, zeros + 1);
    }
    let mut digits = left as u64;
    if digits == 0 {
        return None;
    }
    while digits.is_multiple_of(10) {
        (digits, zeros) = (digits / 10, zeros + 1);
    }
    (zeros >= 3).then_some((digits, zeros))
}

/// Bits behind one another, lowest first, in bytes.
#[derive(Debug, Default)]
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    bits: usize,
}

impl BitWriter {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// A number whose bits below the highest are written.
    pub(super) fn put(&mut self, value: u128) {
        let count = (u128::BITS - value.leading_zeros()).saturating_sub(1) as usize;
        let rest = if count == 0 { 0 } else { value ^ 1 << count };
        self.put_bits(rest as u64, count.min(64));
        if count > 64 {
            self.put_bits((rest >> 64) as u64, count - 64);
        }
    }

    /// At most 64 bits; those of `value` above them are 0.
    fn put_bits(&mut self, value: u64, count: usize) {
        let used = self.bits % 8;
        let last = if used == 0 { 0 } else { self.bytes.pop().unwrap_or_default() };
        let all = u128::from(value) << used | u128::from(last);
        self.bytes.extend_from_slice(&all.to_le_bytes()[..(used + count).div_ceil(8)]);
        self.bits += count;
    }
}

/// Reads what a [`BitWriter`] wrote.
#[derive(Debug)]
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> BitReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// A number of `bits` bits, of which the highest is not written.
    fn take(&mut self, bits: u8) -> Result<u128, Malformed> {
        let Some(count) = usize::from(bits).checked_sub(1) else { return Ok(0) };
        let mut value = self.take_bits(count.min(64))?;
        if count > 64 {
            value |= self.take_bits(count - 64)? << 64;
        }
        Ok(value | 1 << count)
    }

    fn take_bits(&mut self, count: usize) -> Result<u128, Malformed> {
        let end = self.at + count;
        let bytes = self.bytes.get(self.at / 8..end.div_ceil(8)).ok_or(Malformed("too short"))?;
        let mut word = [0; 16];
        word[..bytes.len()].copy_from_slice(bytes);
        let value = u128::from_le_bytes(word) >> (self.at % 8) & ((1 << count) - 1);
        self.at = end;
        Ok(value)
    }

    /// The number of a symbol, of which [`wide`] is `None`; `zeros` gives the zeros of a round one.
    /// Refused if that number has another symbol.
    pub(super) fn number(
        &mut self,
        symbol: u8,
        zeros: impl FnOnce() -> Result<u8, Malformed>,
    ) -> Result<u128, Malformed> {
        let wrong = Malformed("a number in another form");
        if symbol > LAST {
            return Err(wrong);
        }
        if symbol <= PLAIN {
            let value = self.take(symbol)?;
            return if rounded(value).is_none() { Ok(value) } else { Err(wrong) };
        }
        let digits = self.take(symbol - ROUND)?;
        let zeros = zeros()?;
        let power = 10u128.checked_pow(zeros.into());
        let value = power.and_then(|power| digits.checked_mul(power)).ok_or(wrong)?;
        let written = digits as u64;
        if rounded(value) == Some((written, zeros)) { Ok(value) } else { Err(wrong) }
    }

    /// Whether all was read, and the bits that fill the last byte are 0.
    pub(super) fn is_done(&self) -> bool {
        let spare = self.bytes.last().map_or(0, |last| match self.at % 8 {
            0 => 0,
            used => last >> used,
        });
        self.at.div_ceil(8) == self.bytes.len() && spare == 0
    }
}

/// How many bytes a symbol says stand elsewhere.
pub(super) fn wide(symbol: u8) -> Option<usize> {
    (PLAIN + 1..=ROUND).contains(&symbol).then(|| PLAIN_BYTES + usize::from(symbol - PLAIN))
}

/// The bytes of a number at the end of `word`, which is zero; returns how many there are.
pub(super) fn put_number(word: &mut [u8; 32], value: u128) -> usize {
    word[16..].copy_from_slice(&value.to_be_bytes());
    trimmed(&word[16..]).len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_one_form_and_come_back() {
        let ten = |power| 10u128.pow(power);
        let mut values = vec![0, 1, 2, 255, 256, 999, 1_000, 12_000, 1_234, u128::MAX];
        values.extend((3..39).flat_map(|power| [ten(power), ten(power) - 1, 3 * ten(power - 1)]));
        values.extend((0..128).map(|bit| 1 << bit));
        values.push(u128::from(u64::MAX) * 1_000);
        values.push((u128::from(u64::MAX) + 2) * 1_000);
        let (mut bits, mut symbols, mut scales) = (BitWriter::default(), vec![], vec![]);
        for value in &values {
            let form = Form::of(trimmed(&value.to_be_bytes()));
            symbols.push(form.symbol());
            match form {
                Form::Plain(value) => bits.put(value),
                Form::Round(digits, zeros) => {
                    bits.put(digits.into());
                    scales.push(zeros);
                }
                Form::Wide(_) => unreachable!("16 bytes"),
            }
        }
        let mut reader = BitReader::new(bits.bytes());
        let mut scales = scales.into_iter();
        for (value, symbol) in values.iter().zip(symbols) {
            let zeros = || scales.next().ok_or(Malformed("too short"));
            assert_eq!(reader.number(symbol, zeros), Ok(*value));
        }
        assert!(reader.is_done() && scales.next().is_none());
        assert_eq!(BitReader::new(&[0xff]).take(12), Err(Malformed("too short")));
    }

    #[test]
    fn other_forms_of_a_number_are_refused() {
        let read = |symbol, bytes: &[u8], zeros| BitReader::new(bytes).number(symbol, || Ok(zeros));
        // 1,000 plain; 10 with two zeros, 1 with two, 2^64 - 1 with more than fit, no such symbol.
        assert!(read(10, &[0xe8, 0x01], 0).is_err());
        assert!(read(ROUND + 4, &[0x02], 3).is_err());
        assert!(read(ROUND + 1, &[], 2).is_err());
        assert!(read(ROUND + 64, &[0xff; 8], 20).is_err());
        assert!(read(ROUND + 1, &[], 200).is_err());
        assert!(read(LAST + 1, &[0; 20], 3).is_err());
        assert_eq!(read(ROUND + 1, &[], 3), Ok(1_000));
        let mut spare = BitReader::new(&[0x81]);
        assert_eq!((spare.take(7), spare.is_done()), (Ok(65), false));
    }
}
