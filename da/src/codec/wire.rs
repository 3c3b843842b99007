//! Varints and a bounded reader: the alphabet of the span format.

use alloy_primitives::B256;
use causeway_chainspec::posted::Tag;

/// Bytes that are no span. The text says what was wrong; it is for logs only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

/// Appends `value` in LEB128: seven bits a byte, lowest first, no longer than needed.
pub(super) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// [`put`] for numbers of any size.
pub(super) fn put_wide(out: &mut Vec<u8>, mut value: u128) {
    if let Ok(small) = u64::try_from(value) {
        return put(out, small);
    }
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Reads a slice from front to back. Never allocates; every length is checked against what is left.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Malformed("too short"))?;
        self.rest = rest;
        Ok(taken)
    }

    /// A length, then as many bytes.
    pub(super) fn take_counted(&mut self) -> Result<&'a [u8], Malformed> {
        let count = self.length()?;
        self.take(count)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(self.take(1)?[0])
    }

    pub(super) fn tag(&mut self) -> Result<Tag, Malformed> {
        Ok(Tag::from_slice(self.take(4)?))
    }

    pub(super) fn hash(&mut self) -> Result<B256, Malformed> {
        Ok(B256::from_slice(self.take(32)?))
    }

    pub(super) fn wide(&mut self) -> Result<u128, Malformed> {
        let mut value = 0u128;
        for shift in (0..).step_by(7) {
            let byte = self.byte()?;
            let bits = u128::from(byte & 0x7f);
            if shift > 126 || (bits << shift) >> shift != bits {
                return Err(Malformed("varint too long"));
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 {
                    return Err(Malformed("varint not shortest"));
                }
                return Ok(value);
            }
        }
        Err(Malformed("varint too long"))
    }

    pub(super) fn number(&mut self) -> Result<u64, Malformed> {
        // Nearly all are small.
        if let [byte @ 0..0x80, rest @ ..] = self.rest {
            self.rest = rest;
            return Ok(u64::from(*byte));
        }
        u64::try_from(self.wide()?).map_err(|_| Malformed("number too large"))
    }

    pub(super) fn length(&mut self) -> Result<usize, Malformed> {
        usize::try_from(self.wide()?).map_err(|_| Malformed("length too large"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_round_trip_and_have_one_form() {
        for value in [0, 1, 127, 128, 300, u128::from(u64::MAX), 1 << 126, u128::MAX] {
            let mut out = Vec::new();
            put_wide(&mut out, value);
            let mut reader = Reader::new(&out);
            assert_eq!(reader.wide(), Ok(value));
            assert!(reader.is_empty());
        }
        assert!(Reader::new(&[0x80, 0x00]).wide().is_err());
        assert!(Reader::new(&[0x80]).wide().is_err());
        assert!(Reader::new(&[0xff; 30]).wide().is_err());
        let mut most = [0xff; 19];
        most[18] = 0x04;
        assert!(Reader::new(&most).wide().is_err());
    }
}
