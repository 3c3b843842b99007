//! A signed Ethereum transaction taken apart without decoding it, and put together again. Only
//! what would come back byte for byte is taken apart.

use super::wire::Malformed;

/// What the first byte says a transaction is; 0 stands for legacy.
pub(super) const EIP2930: u8 = 1;
pub(super) const EIP1559: u8 = 2;
pub(super) const EIP7702: u8 = 4;

/// The fields of a transaction. Byte strings are as they stand, integers without leading zeros.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Fields<'a> {
    /// 0, [`EIP2930`], [`EIP1559`] or [`EIP7702`].
    pub(super) kind: u8,
    /// `None` for a legacy transaction of no chain.
    pub(super) chain_id: Option<u64>,
    pub(super) nonce: u64,
    /// Of [`EIP1559`] and [`EIP7702`] alone.
    pub(super) tip: u128,
    pub(super) fee: u128,
    pub(super) gas_limit: u64,
    /// 20 bytes, or none for a creation.
    pub(super) to: &'a [u8],
    /// At most 32 bytes.
    pub(super) value: &'a [u8],
    pub(super) input: &'a [u8],
    /// An RLP list with its header, of all but legacy ones; what is in it was not looked at.
    pub(super) access_list: &'a [u8],
    /// Likewise, of [`EIP7702`] alone.
    pub(super) authorizations: &'a [u8],
    pub(super) parity: bool,
    /// At most 32 bytes each.
    pub(super) r: &'a [u8],
    pub(super) s: &'a [u8],
}

/// Takes a transaction apart; `None` if [`Fields::join`] would not give the same bytes.
pub(super) fn split(raw: &[u8]) -> Option<Fields<'_>> {
    let kind = match *raw.first()? {
        kind @ (EIP2930 | EIP1559 | EIP7702) => kind,
        0xc0.. => 0,
        _ => return None,
    };
    let mut outer = if kind == 0 { raw } else { &raw[1..] };
    let (list, payload) = item(&mut outer)?;
    if !list || !outer.is_empty() {
        return None;
    }
    let rest = &mut { payload };
    let mut fields = Fields { kind, ..Fields::default() };
    if kind != 0 {
        fields.chain_id = Some(small(rest)?);
    }
    fields.nonce = small(rest)?;
    if kind == EIP1559 || kind == EIP7702 {
        fields.tip = wide(rest)?;
    }
    fields.fee = wide(rest)?;
    fields.gas_limit = small(rest)?;
    fields.to = string(rest).filter(|to| matches!(to.len(), 0 | 20))?;
    fields.value = integer(rest, 32)?;
    fields.input = string(rest)?;
    if kind != 0 {
        fields.access_list = list_at(rest)?;
    }
    if kind == EIP7702 {
        fields.authorizations = list_at(rest)?;
    }
    let v = integer(rest, 9).map(number)?;
    if kind == 0 {
        fields.parity = v % 2 == 0;
        fields.chain_id = match v {
            27 | 28 => None,
            35.. => Some(u64::try_from((v - 35) / 2).ok()?),
            _ => return None,
        };
    } else {
        fields.parity = match v {
            0 | 1 => v == 1,
            _ => return None,
        };
    }
    (fields.r, fields.s) = (integer(rest, 32)?, integer(rest, 32)?);
    rest.is_empty().then_some(fields)
}

impl Fields<'_> {
    /// Appends the bytes of the transaction; `payload` is room to work in.
    pub(super) fn join(&self, payload: &mut Vec<u8>, out: &mut Vec<u8>) {
        payload.clear();
        let typed = self.kind != 0;
        if typed {
            put_number(payload, self.chain_id.unwrap_or_default().into());
        }
        put_number(payload, self.nonce.into());
        if self.kind == EIP1559 || self.kind == EIP7702 {
            put_number(payload, self.tip);
        }
        put_number(payload, self.fee);
        put_number(payload, self.gas_limit.into());
        put_string(payload, self.to);
        put_string(payload, self.value);
        put_string(payload, self.input);
        payload.extend_from_slice(self.access_list);
        payload.extend_from_slice(self.authorizations);
        let parity = u128::from(self.parity);
        put_number(
            payload,
            match self.chain_id {
                _ if typed => parity,
                Some(chain_id) => u128::from(chain_id) * 2 + 35 + parity,
                None => 27 + parity,
            },
        );
        put_string(payload, self.r);
        put_string(payload, self.s);
        if typed {
            out.push(self.kind);
        }
        put_header(out, 0xc0, payload.len());
        out.extend_from_slice(payload);
    }
}

/// The RLP list at the front of `bytes`, with its header; what is in it is not looked at.
pub(super) fn list_at<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let start = *bytes;
    let (list, _) = item(bytes)?;
    list.then(|| &start[..start.len() - bytes.len()])
}

/// [`list_at`] of bytes that somebody else wrote.
pub(super) fn read_list<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], Malformed> {
    list_at(bytes).ok_or(Malformed("not a list"))
}

/// Whether the first item is a list, and its payload; only in the shortest form.
fn item<'a>(bytes: &mut &'a [u8]) -> Option<(bool, &'a [u8])> {
    let first = *bytes.first()?;
    let (list, start, length) = match first {
        0..0x80 => (false, 0, 1),
        0x80..=0xb7 => (false, 1, usize::from(first - 0x80)),
        0xc0..=0xf7 => (true, 1, usize::from(first - 0xc0)),
        _ => {
            let list = first >= 0xf8;
            let size = usize::from(first - if list { 0xf7 } else { 0xb7 });
            let digits = bytes.get(1..1 + size)?;
            if digits[0] == 0 {
                return None;
            }
            let length = usize::try_from(number(digits)).ok()?;
            if length < 56 {
                return None;
            }
            (list, 1 + size, length)
        }
    };
    let payload = bytes.get(start..start.checked_add(length)?)?;
    if first == 0x81 && payload[0] < 0x80 {
        return None;
    }
    *bytes = &bytes[start + length..];
    Some((list, payload))
}

fn string<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    item(bytes).and_then(|(list, payload)| (!list).then_some(payload))
}

fn integer<'a>(bytes: &mut &'a [u8], most: usize) -> Option<&'a [u8]> {
    string(bytes).filter(|digits| digits.len() <= most && digits.first() != Some(&0))
}

/// Big-endian; at most 16 bytes.
fn number(digits: &[u8]) -> u128 {
    digits.iter().fold(0, |value, digit| value << 8 | u128::from(*digit))
}

fn small(bytes: &mut &[u8]) -> Option<u64> {
    let digits = integer(bytes, 8)?;
    Some(digits.iter().fold(0, |value, digit| value << 8 | u64::from(*digit)))
}

fn wide(bytes: &mut &[u8]) -> Option<u128> {
    integer(bytes, 16).map(number)
}

fn put_number(out: &mut Vec<u8>, value: u128) {
    let digits = value.to_be_bytes();
    put_string(out, trimmed(&digits));
}

/// Without leading zeros.
pub(super) fn trimmed(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().take_while(|digit| **digit == 0).count();
    &digits[zeros..]
}

fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    if !matches!(bytes, [0..0x80]) {
        put_header(out, 0x80, bytes.len());
    }
    out.extend_from_slice(bytes);
}

fn put_header(out: &mut Vec<u8>, base: u8, length: usize) {
    if length < 56 {
        return out.push(base + length as u8);
    }
    let digits = (length as u64).to_be_bytes();
    let digits = trimmed(&digits);
    out.push(base + 55 + digits.len() as u8);
    out.extend_from_slice(digits);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::tests::assorted;

    #[test]
    fn what_is_taken_apart_comes_back() {
        let join = |fields: Fields<'_>| {
            let mut out = Vec::new();
            fields.join(&mut Vec::new(), &mut out);
            out
        };
        let mut taken = 0;
        for raw in assorted() {
            let whole = split(&raw);
            if let Some(fields) = whole {
                assert_eq!(join(fields), raw);
                taken += 1;
            }
            // With any byte changed, too, and cut anywhere.
            for at in 0..raw.len().min(400) {
                for change in [1, 0x80, 0xff] {
                    let mut other = raw.to_vec();
                    other[at] ^= change;
                    if let Some(fields) = split(&other) {
                        assert_eq!(join(fields), other);
                    }
                }
                assert!(whole.is_none() || split(&raw[..at]).is_none());
            }
        }
        assert_eq!(taken, 7);
    }
}
