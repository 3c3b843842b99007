//! Transactions in columns: like next to like, so that what repeats compresses to almost nothing
//! and only signatures, new addresses and amounts cost bytes.
//!
//! A transaction goes into columns only if they give back exactly its bytes; any other bytes stand
//! as they are in the opaque columns. Recipients are numbered in order of first use.

use alloy_primitives::map::HashMap;
use alloy_primitives::{Address, Bytes};

use super::rlp::{self, EIP1559, EIP2930, EIP7702, Fields};
use super::wire::{Malformed, Reader, put, put_wide};

/// How many columns there are.
pub(super) const COUNT: usize = 16;

// The kind byte: what the transaction is (0, 1, 2, 4: its type), and two flags.
/// Legacy, signed for no chain (before EIP-155).
const UNPROTECTED: u8 = 3;
const OPAQUE: u8 = 7;
const CREATE: u8 = 1 << 3;
/// The chain id differs from the transaction's before (before the first: 0).
const CHAIN: u8 = 1 << 4;

// Positions of the columns.
const KINDS: usize = 0;
const CHAIN_IDS: usize = 1;
const NONCES: usize = 2;
const GAS_LIMITS: usize = 3;
const FEES: usize = 4;
const TIPS: usize = 5;
const RECIPIENTS: usize = 6;
const INPUT_LENGTHS: usize = 7;
const ACCESS_LISTS: usize = 8;
const AUTHORIZATIONS: usize = 9;
const OPAQUES: usize = 10;
const VALUES: usize = 11;
const INPUTS: usize = 12;
const ADDRESSES: usize = 13;
const PARITIES: usize = 14;
const SIGNATURES: usize = 15;

/// Columns being written.
#[derive(Debug, Default)]
pub(super) struct TxColumns {
    columns: [Vec<u8>; COUNT],
    signed: usize,
    chain_id: u64,
    known: HashMap<Address, u64>,
}

impl TxColumns {
    pub(super) fn count(&self) -> usize {
        self.columns[KINDS].len()
    }

    pub(super) fn columns(&self) -> impl Iterator<Item = &[u8]> {
        self.columns.iter().map(Vec::as_slice)
    }

    /// Adds a transaction, in columns if `split` and its bytes allow it.
    pub(super) fn push(&mut self, raw: &[u8], split: bool) {
        match split.then(|| rlp::split(raw)).flatten() {
            Some(fields) => self.push_fields(&fields),
            None => {
                self.columns[KINDS].push(OPAQUE);
                put(&mut self.columns[OPAQUES], raw.len() as u64);
                self.columns[OPAQUES].extend_from_slice(raw);
            }
        }
    }

    fn push_fields(&mut self, fields: &Fields<'_>) {
        let mut kind = if fields.chain_id.is_none() { UNPROTECTED } else { fields.kind };
        if let Some(chain_id) = fields.chain_id.filter(|id| *id != self.chain_id) {
            kind |= CHAIN;
            put(&mut self.columns[CHAIN_IDS], chain_id);
            self.chain_id = chain_id;
        }
        if fields.to.is_empty() {
            kind |= CREATE;
        } else {
            self.push_recipient(Address::from_slice(fields.to));
        }
        let columns = &mut self.columns;
        columns[KINDS].push(kind);
        put(&mut columns[NONCES], fields.nonce);
        put(&mut columns[GAS_LIMITS], fields.gas_limit);
        put_wide(&mut columns[FEES], fields.fee);
        if fields.kind == EIP1559 || fields.kind == EIP7702 {
            put_wide(&mut columns[TIPS], fields.tip);
        }
        columns[VALUES].push(fields.value.len() as u8);
        columns[VALUES].extend_from_slice(fields.value);
        put(&mut columns[INPUT_LENGTHS], fields.input.len() as u64);
        columns[INPUTS].extend_from_slice(fields.input);
        columns[ACCESS_LISTS].extend_from_slice(fields.access_list);
        columns[AUTHORIZATIONS].extend_from_slice(fields.authorizations);
        let bit = self.signed % 8;
        if bit == 0 {
            columns[PARITIES].push(0);
        }
        if let Some(byte) = columns[PARITIES].last_mut() {
            *byte |= u8::from(fields.parity) << bit;
        }
        self.signed += 1;
        for word in [fields.r, fields.s] {
            columns[SIGNATURES].extend_from_slice(&[0; 32][word.len()..]);
            columns[SIGNATURES].extend_from_slice(word);
        }
    }

    /// 0 and the address where it is new, else its number, from 1.
    fn push_recipient(&mut self, to: Address) {
        let next = self.known.len() as u64 + 1;
        let number = *self.known.entry(to).or_insert(next);
        if number == next {
            self.columns[ADDRESSES].extend_from_slice(to.as_slice());
            put(&mut self.columns[RECIPIENTS], 0);
        } else {
            put(&mut self.columns[RECIPIENTS], number);
        }
    }
}

/// Columns being read. Whether they were written canonically is for the caller to check, by
/// writing them again.
#[derive(Debug)]
pub(super) struct TxReader<'a> {
    count: usize,
    rest: [Reader<'a>; COUNT],
    known: Vec<&'a [u8]>,
    chain_id: u64,
    signed: usize,
    parity: u8,
    room: Vec<u8>,
}

impl<'a> TxReader<'a> {
    pub(super) fn new(columns: [Reader<'a>; COUNT]) -> Self {
        let count = columns[KINDS].rest().len();
        let (known, room) = Default::default();
        Self { count, rest: columns, known, chain_id: 0, signed: 0, parity: 0, room }
    }

    /// How many transactions there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The bytes of the next transaction.
    pub(super) fn next(&mut self) -> Result<Bytes, Malformed> {
        let kind = self.rest[KINDS].byte()?;
        if kind == OPAQUE {
            return Ok(Bytes::copy_from_slice(self.rest[OPAQUES].take_counted()?));
        }
        let mut fields = Fields::default();
        fields.kind = match kind & OPAQUE {
            UNPROTECTED => 0,
            known @ (0 | EIP2930 | EIP1559 | EIP7702) => known,
            _ => return Err(Malformed("unknown transaction kind")),
        };
        if kind & CHAIN != 0 {
            self.chain_id = self.rest[CHAIN_IDS].number()?;
        }
        fields.chain_id = (kind & OPAQUE != UNPROTECTED).then_some(self.chain_id);
        if kind & CREATE == 0 {
            fields.to = self.recipient()?;
        }
        fields.nonce = self.rest[NONCES].number()?;
        fields.gas_limit = self.rest[GAS_LIMITS].number()?;
        fields.fee = self.rest[FEES].wide()?;
        if fields.kind == EIP1559 || fields.kind == EIP7702 {
            fields.tip = self.rest[TIPS].wide()?;
        }
        let length = usize::from(self.rest[VALUES].byte()?);
        if length > 32 {
            return Err(Malformed("value too large"));
        }
        fields.value = self.rest[VALUES].take(length)?;
        let length = self.rest[INPUT_LENGTHS].length()?;
        fields.input = self.rest[INPUTS].take(length)?;
        if fields.kind != 0 {
            fields.access_list = self.list(ACCESS_LISTS)?;
        }
        if fields.kind == EIP7702 {
            fields.authorizations = self.list(AUTHORIZATIONS)?;
        }
        if self.signed.is_multiple_of(8) {
            self.parity = self.rest[PARITIES].byte()?;
        }
        fields.parity = self.parity >> (self.signed % 8) & 1 == 1;
        self.signed += 1;
        let (r, s) = self.rest[SIGNATURES].take(64)?.split_at(32);
        (fields.r, fields.s) = (rlp::trimmed(r), rlp::trimmed(s));
        Ok(fields.join(&mut self.room).into())
    }

    fn recipient(&mut self) -> Result<&'a [u8], Malformed> {
        match self.rest[RECIPIENTS].length()? {
            0 => {
                let address = self.rest[ADDRESSES].take(20)?;
                self.known.push(address);
                Ok(address)
            }
            number => self.known.get(number - 1).copied().ok_or(Malformed("unknown recipient")),
        }
    }

    fn list(&mut self, column: usize) -> Result<&'a [u8], Malformed> {
        let mut rest = self.rest[column].rest();
        let list = rlp::read_list(&mut rest)?;
        self.rest[column] = Reader::new(rest);
        Ok(list)
    }
}
