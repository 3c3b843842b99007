//! Transactions in columns: like next to like, so that what repeats compresses to almost nothing
//! and only signatures, new addresses and the bits of amounts cost bytes. These three come last and
//! are not compressed at all.
//!
//! A transaction goes into columns only if they give back exactly its bytes; any other bytes stand
//! as they are in the opaque columns. Recipients are numbered in order of first use. An input of
//! four bytes and whole words is taken for a call: its words are written as values are, and those of
//! 20 bytes as recipients. The top bit of `s` says the parity.

use alloy_primitives::Address;
use alloy_primitives::map::{HashMap, HashSet};

use super::amounts::{self, BitReader, BitWriter, Form};
use super::rlp::{self, EIP1559, EIP2930, EIP7702, Fields};
use super::wire::{Malformed, Reader, put, put_wide};

/// How many columns there are.
pub(super) const COUNT: usize = 18;
/// How many of them, at the end, do not compress.
pub(super) const NOISE: usize = 3;
/// Most bytes of the transactions of a span: columns may say much in few bytes.
pub(super) const MAX_BYTES: usize = 32 << 20;

// The kind byte: what the transaction is (0, 1, 2, 4: its type), and flags.
/// Legacy, signed for no chain (before EIP-155).
const UNPROTECTED: u8 = 3;
const OPAQUE: u8 = 7;
const CREATE: u8 = 1 << 3;
/// The chain id differs from the transaction's before (before the first: 0).
const CHAIN: u8 = 1 << 4;
/// The top bit of `s` is 1, though it says the parity.
const HIGH: u8 = 1 << 5;
const FLAGS: u8 = CREATE | CHAIN | HIGH;

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
const WORDS: usize = 12;
const SCALES: usize = 13;
const INPUTS: usize = 14;
const ADDRESSES: usize = 15;
const DIGITS: usize = 16;
const SIGNATURES: usize = 17;

/// Bytes of an address, in a word, too.
const ADDRESS: usize = 20;
/// Bytes of a call before its words.
const SELECTOR: usize = 4;
const WORD: usize = 32;
/// Where `s` begins in a signature.
const S: usize = 32;

/// Columns being written.
#[derive(Debug, Default)]
pub(super) struct TxColumns {
    columns: [Vec<u8>; COUNT],
    digits: BitWriter,
    bytes: usize,
    chain_id: u64,
    known: HashMap<Address, u64>,
}

impl TxColumns {
    pub(super) fn count(&self) -> usize {
        self.columns[KINDS].len()
    }

    /// Bytes of all transactions.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn columns(&self) -> impl Iterator<Item = &[u8]> {
        self.columns.iter().enumerate().map(|(at, column)| match at {
            DIGITS => self.digits.bytes(),
            _ => column,
        })
    }

    /// Adds a transaction, in columns if `split` and its bytes allow it.
    pub(super) fn push(&mut self, raw: &[u8], split: bool) {
        self.bytes += raw.len();
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
            self.push_recipient(fields.to);
        }
        self.push_word(VALUES, fields.value);
        self.push_input(fields.input);
        let columns = &mut self.columns;
        put(&mut columns[NONCES], fields.nonce);
        put(&mut columns[GAS_LIMITS], fields.gas_limit);
        put_wide(&mut columns[FEES], fields.fee);
        if fields.kind == EIP1559 || fields.kind == EIP7702 {
            put_wide(&mut columns[TIPS], fields.tip);
        }
        columns[ACCESS_LISTS].extend_from_slice(fields.access_list);
        columns[AUTHORIZATIONS].extend_from_slice(fields.authorizations);
        let mut signature = [0; 64];
        signature[S - fields.r.len()..S].copy_from_slice(fields.r);
        signature[64 - fields.s.len()..].copy_from_slice(fields.s);
        if signature[S] & 0x80 != 0 {
            kind |= HIGH;
        }
        signature[S] = signature[S] & 0x7f | u8::from(fields.parity) << 7;
        columns[SIGNATURES].extend_from_slice(&signature);
        columns[KINDS].push(kind);
    }

    /// 0 and the address where it is new, else its number, from 1.
    fn push_recipient(&mut self, to: &[u8]) {
        let next = self.known.len() as u64 + 1;
        let number = *self.known.entry(Address::from_slice(to)).or_insert(next);
        if number == next {
            self.columns[ADDRESSES].extend_from_slice(to);
            put(&mut self.columns[RECIPIENTS], 0);
        } else {
            put(&mut self.columns[RECIPIENTS], number);
        }
    }

    fn push_input(&mut self, input: &[u8]) {
        put(&mut self.columns[INPUT_LENGTHS], input.len() as u64);
        if input.len() % WORD != SELECTOR {
            return self.columns[INPUTS].extend_from_slice(input);
        }
        let (selector, words) = input.split_at(SELECTOR);
        self.columns[INPUTS].extend_from_slice(selector);
        words.chunks(WORD).for_each(|word| self.push_word(WORDS, rlp::trimmed(word)));
    }

    /// A word without leading zeros, its symbol into the column `symbols`.
    fn push_word(&mut self, symbols: usize, word: &[u8]) {
        let form = Form::of(word);
        self.columns[symbols].push(form.symbol());
        match form {
            Form::Plain(value) => self.digits.put(value),
            Form::Round(digits, zeros) => {
                self.digits.put(digits.into());
                self.columns[SCALES].push(zeros);
            }
            Form::Wide(ADDRESS) => self.push_recipient(word),
            Form::Wide(_) => self.columns[INPUTS].extend_from_slice(word),
        }
    }
}

/// Columns being read. What [`TxColumns`] would have written in another way is refused.
#[derive(Debug)]
pub(super) struct TxReader<'a> {
    split: bool,
    rest: [Reader<'a>; COUNT],
    digits: BitReader<'a>,
    known: Vec<&'a [u8]>,
    seen: HashSet<Address>,
    chain_id: u64,
    /// How many bytes there may still be.
    room: usize,
    payload: Vec<u8>,
    input: Vec<u8>,
}

impl<'a> TxReader<'a> {
    /// `split`: whether a transaction is in columns if it can be.
    pub(super) fn new(mut columns: [Reader<'a>; COUNT], split: bool) -> Self {
        let digits = BitReader::new(std::mem::take(&mut columns[DIGITS]).rest());
        let addresses = columns[ADDRESSES].rest().len() / ADDRESS;
        Self {
            split,
            rest: columns,
            digits,
            known: Vec::with_capacity(addresses),
            seen: HashSet::with_capacity_and_hasher(addresses, Default::default()),
            chain_id: 0,
            room: MAX_BYTES,
            payload: Vec::new(),
            input: Vec::new(),
        }
    }

    /// How many transactions are left.
    pub(super) fn left(&self) -> usize {
        self.rest[KINDS].rest().len()
    }

    /// Whether all columns were read.
    pub(super) fn is_done(&self) -> bool {
        self.digits.is_done() && self.rest.iter().all(Reader::is_empty)
    }

    /// Appends the bytes of the next transaction.
    pub(super) fn next(&mut self, out: &mut Vec<u8>) -> Result<(), Malformed> {
        let start = out.len();
        let kind = self.rest[KINDS].byte()?;
        if kind == OPAQUE {
            let raw = self.rest[OPAQUES].take_counted()?;
            if self.split && rlp::split(raw).is_some() {
                return Err(Malformed("a transaction that belongs into columns"));
            }
            out.extend_from_slice(raw);
        } else if self.split {
            self.next_fields(kind, out)?;
        } else {
            return Err(Malformed("a transaction in columns"));
        }
        self.spend(out.len() - start)
    }

    fn spend(&mut self, bytes: usize) -> Result<(), Malformed> {
        self.room = self.room.checked_sub(bytes).ok_or(Malformed("too many bytes"))?;
        Ok(())
    }

    fn next_fields(&mut self, kind: u8, out: &mut Vec<u8>) -> Result<(), Malformed> {
        let known = kind & !FLAGS;
        let named = match known {
            UNPROTECTED if kind & CHAIN == 0 => 0,
            0 | EIP2930 | EIP1559 | EIP7702 => known,
            _ => return Err(Malformed("unknown transaction kind")),
        };
        let mut fields = Fields { kind: named, ..Fields::default() };
        if kind & CHAIN != 0 {
            let before = std::mem::replace(&mut self.chain_id, self.rest[CHAIN_IDS].number()?);
            if before == self.chain_id {
                return Err(Malformed("no other chain id"));
            }
        }
        fields.chain_id = (known != UNPROTECTED).then_some(self.chain_id);
        if kind & CREATE == 0 {
            fields.to = self.recipient()?;
        }
        let mut value = [0; WORD];
        let length = self.word(VALUES, &mut value)?;
        fields.value = &value[WORD - length..];
        let input = self.input()?;
        fields.input = &input;
        fields.nonce = self.rest[NONCES].number()?;
        fields.gas_limit = self.rest[GAS_LIMITS].number()?;
        fields.fee = self.rest[FEES].wide()?;
        if fields.kind == EIP1559 || fields.kind == EIP7702 {
            fields.tip = self.rest[TIPS].wide()?;
        }
        if fields.kind != 0 {
            fields.access_list = self.list(ACCESS_LISTS)?;
        }
        if fields.kind == EIP7702 {
            fields.authorizations = self.list(AUTHORIZATIONS)?;
        }
        let (r, s) = self.rest[SIGNATURES].take(64)?.split_at(S);
        fields.parity = s[0] & 0x80 != 0;
        let mut top = [0; 32];
        top.copy_from_slice(s);
        top[0] = s[0] & 0x7f | u8::from(kind & HIGH != 0) << 7;
        (fields.r, fields.s) = (rlp::trimmed(r), rlp::trimmed(&top));
        fields.join(&mut self.payload, out);
        self.input = input;
        Ok(())
    }

    fn recipient(&mut self) -> Result<&'a [u8], Malformed> {
        match self.rest[RECIPIENTS].length()? {
            0 => {
                let address = self.rest[ADDRESSES].take(ADDRESS)?;
                self.known.push(address);
                if !self.seen.insert(Address::from_slice(address)) {
                    return Err(Malformed("a new recipient that is known"));
                }
                Ok(address)
            }
            number => self.known.get(number - 1).copied().ok_or(Malformed("unknown recipient")),
        }
    }

    /// The next input, in the reader's own room: to be put back.
    fn input(&mut self) -> Result<Vec<u8>, Malformed> {
        let length = self.rest[INPUT_LENGTHS].length()?;
        if length > self.room {
            return Err(Malformed("too many bytes"));
        }
        let mut input = std::mem::take(&mut self.input);
        input.clear();
        if length % WORD != SELECTOR {
            input.extend_from_slice(self.rest[INPUTS].take(length)?);
            return Ok(input);
        }
        input.extend_from_slice(self.rest[INPUTS].take(SELECTOR)?);
        while input.len() < length {
            let mut word = [0; WORD];
            self.word(WORDS, &mut word)?;
            input.extend_from_slice(&word);
        }
        Ok(input)
    }

    /// Puts the next word at the end of `word`, which is zero; returns how many bytes it has.
    fn word(&mut self, symbols: usize, word: &mut [u8; WORD]) -> Result<usize, Malformed> {
        let symbol = self.rest[symbols].byte()?;
        let Some(length) = amounts::wide(symbol) else {
            let scales = &mut self.rest[SCALES];
            let value = self.digits.number(symbol, || scales.byte())?;
            return Ok(amounts::put_number(word, value));
        };
        let bytes = match length {
            ADDRESS => self.recipient()?,
            _ => self.rest[INPUTS].take(length)?,
        };
        if bytes[0] == 0 {
            return Err(Malformed("a word in another form"));
        }
        word[WORD - length..].copy_from_slice(bytes);
        Ok(length)
    }

    fn list(&mut self, column: usize) -> Result<&'a [u8], Malformed> {
        let mut rest = self.rest[column].rest();
        let list = rlp::read_list(&mut rest)?;
        self.rest[column] = Reader::new(rest);
        Ok(list)
    }
}
