//! Transactions in columns: like next to like, so that what repeats compresses to almost nothing
//! and only signatures, new addresses and amounts cost bytes.
//!
//! A transaction goes into columns only if they give back exactly its bytes; any other bytes stand
//! as they are in the opaque columns. Recipients are numbered in order of first use.

use alloy_consensus::{SignableTransaction, TxEip1559, TxEip2930, TxEip7702, TxLegacy};
use alloy_eips::eip2718::{Decodable2718, Encodable2718};
use alloy_eips::eip2930::AccessList;
use alloy_primitives::map::HashMap;
use alloy_primitives::{Address, Bytes, Signature, TxKind, U256};
use alloy_rlp::{Decodable, Encodable};
use causeway_chainspec::TxEnvelope;

use super::wire::{Malformed, Reader, put};

/// How many columns there are.
pub(super) const COUNT: usize = 16;

// The kind byte: what the transaction is, and two flags.
const LEGACY: u8 = 0;
const EIP2930: u8 = 1;
const EIP1559: u8 = 2;
/// Legacy, signed for no chain (before EIP-155).
const UNPROTECTED: u8 = 3;
const EIP7702: u8 = 4;
const OPAQUE: u8 = 7;
const CREATE: u8 = 1 << 3;
/// The chain id differs from the transaction's before (before the first: 0).
const CHAIN: u8 = 1 << 4;

/// Columns being written.
#[derive(Debug, Default)]
pub(super) struct TxColumns {
    kinds: Vec<u8>,
    chain_ids: Vec<u8>,
    nonces: Vec<u8>,
    gas_limits: Vec<u8>,
    fees: Vec<u8>,
    tips: Vec<u8>,
    recipients: Vec<u8>,
    input_lengths: Vec<u8>,
    access_lists: Vec<u8>,
    authorizations: Vec<u8>,
    opaque: Vec<u8>,
    values: Vec<u8>,
    inputs: Vec<u8>,
    addresses: Vec<u8>,
    parities: Vec<u8>,
    signatures: Vec<u8>,
    signed: usize,
    chain_id: u64,
    known: HashMap<Address, u64>,
    scratch: Vec<u8>,
}

/// What every kind has.
struct Fields<'a> {
    kind: u8,
    chain_id: Option<u64>,
    nonce: u64,
    gas_limit: u64,
    fee: u128,
    to: TxKind,
    value: U256,
    input: &'a [u8],
    signature: &'a Signature,
}

impl TxColumns {
    pub(super) fn count(&self) -> usize {
        self.kinds.len()
    }

    pub(super) fn columns(&self) -> impl Iterator<Item = &[u8]> {
        let columns: [&Vec<u8>; COUNT] = [
            &self.kinds,
            &self.chain_ids,
            &self.nonces,
            &self.gas_limits,
            &self.fees,
            &self.tips,
            &self.recipients,
            &self.input_lengths,
            &self.access_lists,
            &self.authorizations,
            &self.opaque,
            &self.values,
            &self.inputs,
            &self.addresses,
            &self.parities,
            &self.signatures,
        ];
        columns.into_iter().map(Vec::as_slice)
    }

    /// Adds a transaction, in columns if `split` and its bytes allow it.
    pub(super) fn push(&mut self, raw: &[u8], split: bool) {
        let envelope = if split { self.read_exact(raw) } else { None };
        match envelope {
            Some(TxEnvelope::Legacy(tx)) => {
                let (tx, signature) = (tx.tx(), tx.signature());
                let kind = if tx.chain_id.is_some() { LEGACY } else { UNPROTECTED };
                self.push_fields(&Fields {
                    kind,
                    chain_id: tx.chain_id,
                    nonce: tx.nonce,
                    gas_limit: tx.gas_limit,
                    fee: tx.gas_price,
                    to: tx.to,
                    value: tx.value,
                    input: &tx.input,
                    signature,
                });
            }
            Some(TxEnvelope::Eip2930(tx)) => {
                let (tx, signature) = (tx.tx(), tx.signature());
                self.push_fields(&Fields {
                    kind: EIP2930,
                    chain_id: Some(tx.chain_id),
                    nonce: tx.nonce,
                    gas_limit: tx.gas_limit,
                    fee: tx.gas_price,
                    to: tx.to,
                    value: tx.value,
                    input: &tx.input,
                    signature,
                });
                tx.access_list.encode(&mut self.access_lists);
            }
            Some(TxEnvelope::Eip1559(tx)) => {
                let (tx, signature) = (tx.tx(), tx.signature());
                self.push_fields(&Fields {
                    kind: EIP1559,
                    chain_id: Some(tx.chain_id),
                    nonce: tx.nonce,
                    gas_limit: tx.gas_limit,
                    fee: tx.max_fee_per_gas,
                    to: tx.to,
                    value: tx.value,
                    input: &tx.input,
                    signature,
                });
                put(&mut self.tips, tx.max_priority_fee_per_gas);
                tx.access_list.encode(&mut self.access_lists);
            }
            Some(TxEnvelope::Eip7702(tx)) => {
                let (tx, signature) = (tx.tx(), tx.signature());
                self.push_fields(&Fields {
                    kind: EIP7702,
                    chain_id: Some(tx.chain_id),
                    nonce: tx.nonce,
                    gas_limit: tx.gas_limit,
                    fee: tx.max_fee_per_gas,
                    to: TxKind::Call(tx.to),
                    value: tx.value,
                    input: &tx.input,
                    signature,
                });
                put(&mut self.tips, tx.max_priority_fee_per_gas);
                tx.access_list.encode(&mut self.access_lists);
                tx.authorization_list.encode(&mut self.authorizations);
            }
            _ => {
                self.kinds.push(OPAQUE);
                put(&mut self.opaque, raw.len() as u64);
                self.opaque.extend_from_slice(raw);
            }
        }
    }

    /// The transaction, if writing it again gives the same bytes.
    fn read_exact(&mut self, raw: &[u8]) -> Option<TxEnvelope> {
        if !matches!(raw.first(), Some(1 | 2 | 4 | 0xc0..)) {
            return None;
        }
        let envelope = TxEnvelope::decode_2718_exact(raw).ok()?;
        self.scratch.clear();
        envelope.encode_2718(&mut self.scratch);
        (self.scratch == raw).then_some(envelope)
    }

    fn push_fields(&mut self, fields: &Fields<'_>) {
        let mut kind = fields.kind;
        if let Some(chain_id) = fields.chain_id.filter(|id| *id != self.chain_id) {
            kind |= CHAIN;
            put(&mut self.chain_ids, chain_id);
            self.chain_id = chain_id;
        }
        match fields.to {
            TxKind::Create => kind |= CREATE,
            TxKind::Call(to) => self.push_recipient(to),
        }
        self.kinds.push(kind);
        put(&mut self.nonces, fields.nonce);
        put(&mut self.gas_limits, fields.gas_limit);
        put(&mut self.fees, fields.fee);
        let value = fields.value.to_be_bytes::<32>();
        let start = fields.value.leading_zeros() / 8;
        self.values.push((32 - start) as u8);
        self.values.extend_from_slice(&value[start..]);
        put(&mut self.input_lengths, fields.input.len() as u64);
        self.inputs.extend_from_slice(fields.input);
        let bit = self.signed % 8;
        if bit == 0 {
            self.parities.push(0);
        }
        if let Some(byte) = self.parities.last_mut() {
            *byte |= u8::from(fields.signature.v()) << bit;
        }
        self.signed += 1;
        self.signatures.extend_from_slice(&fields.signature.r().to_be_bytes::<32>());
        self.signatures.extend_from_slice(&fields.signature.s().to_be_bytes::<32>());
    }

    /// 0 and the address where it is new, else its number, from 1.
    fn push_recipient(&mut self, to: Address) {
        let next = self.known.len() as u64 + 1;
        let number = *self.known.entry(to).or_insert(next);
        if number == next {
            self.addresses.extend_from_slice(to.as_slice());
            put(&mut self.recipients, 0u64);
        } else {
            put(&mut self.recipients, number);
        }
    }
}

/// Columns being read. Whether they were written canonically is for the caller to check, by
/// writing them again.
#[derive(Debug)]
pub(super) struct TxReader<'a> {
    kinds: Reader<'a>,
    count: usize,
    rest: [Reader<'a>; COUNT],
    known: Vec<Address>,
    chain_id: u64,
    signed: usize,
    parity: u8,
}

// Positions of the columns, in the order of `TxColumns::columns`.
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

impl<'a> TxReader<'a> {
    pub(super) fn new(columns: [Reader<'a>; COUNT]) -> Self {
        let kinds = columns[0];
        let count = kinds.rest().len();
        Self { kinds, count, rest: columns, known: Vec::new(), chain_id: 0, signed: 0, parity: 0 }
    }

    /// How many transactions there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The bytes of the next transaction.
    pub(super) fn next(&mut self) -> Result<Bytes, Malformed> {
        let kind = self.kinds.byte()?;
        if kind == OPAQUE {
            return Ok(Bytes::copy_from_slice(self.rest[OPAQUES].take_counted()?));
        }
        let chain_id = self.chain_id(kind)?;
        let to = if kind & CREATE == 0 { self.recipient()?.into() } else { TxKind::Create };
        let nonce = self.rest[NONCES].number()?;
        let gas_limit = self.rest[GAS_LIMITS].number()?;
        let fee = self.rest[FEES].wide()?;
        let value = self.value()?;
        let length = self.rest[INPUT_LENGTHS].length()?;
        let input = Bytes::copy_from_slice(self.rest[INPUTS].take(length)?);
        let signature = self.signature()?;
        let envelope: TxEnvelope = match kind & OPAQUE {
            LEGACY | UNPROTECTED => {
                let chain_id = (kind & OPAQUE == LEGACY).then_some(chain_id);
                TxLegacy { chain_id, nonce, gas_price: fee, gas_limit, to, value, input }
                    .into_signed(signature)
                    .into()
            }
            EIP2930 => {
                let access_list = self.rlp::<AccessList>(ACCESS_LISTS)?;
                let gas_price = fee;
                TxEip2930 { chain_id, nonce, gas_price, gas_limit, to, value, access_list, input }
                    .into_signed(signature)
                    .into()
            }
            EIP1559 => TxEip1559 {
                chain_id,
                nonce,
                gas_limit,
                max_fee_per_gas: fee,
                max_priority_fee_per_gas: self.rest[TIPS].wide()?,
                to,
                value,
                access_list: self.rlp(ACCESS_LISTS)?,
                input,
            }
            .into_signed(signature)
            .into(),
            EIP7702 => TxEip7702 {
                chain_id,
                nonce,
                gas_limit,
                max_fee_per_gas: fee,
                max_priority_fee_per_gas: self.rest[TIPS].wide()?,
                to: *to.to().ok_or(Malformed("a delegation creates nothing"))?,
                value,
                access_list: self.rlp(ACCESS_LISTS)?,
                authorization_list: self.rlp(AUTHORIZATIONS)?,
                input,
            }
            .into_signed(signature)
            .into(),
            _ => return Err(Malformed("unknown transaction kind")),
        };
        Ok(envelope.encoded_2718().into())
    }

    fn chain_id(&mut self, kind: u8) -> Result<u64, Malformed> {
        if kind & CHAIN != 0 {
            self.chain_id = self.rest[CHAIN_IDS].number()?;
        }
        Ok(self.chain_id)
    }

    fn recipient(&mut self) -> Result<Address, Malformed> {
        match self.rest[RECIPIENTS].length()? {
            0 => {
                let address = Address::from_slice(self.rest[ADDRESSES].take(20)?);
                self.known.push(address);
                Ok(address)
            }
            number => self.known.get(number - 1).copied().ok_or(Malformed("unknown recipient")),
        }
    }

    fn value(&mut self) -> Result<U256, Malformed> {
        let length = usize::from(self.rest[VALUES].byte()?);
        let bytes = self.rest[VALUES].take(length)?;
        U256::try_from_be_slice(bytes).ok_or(Malformed("value too large"))
    }

    fn signature(&mut self) -> Result<Signature, Malformed> {
        if self.signed.is_multiple_of(8) {
            self.parity = self.rest[PARITIES].byte()?;
        }
        let parity = self.parity >> (self.signed % 8) & 1 == 1;
        self.signed += 1;
        let word = |bytes| U256::from_be_slice(bytes);
        let (r, s) = self.rest[SIGNATURES].take(64)?.split_at(32);
        Ok(Signature::new(word(r), word(s), parity))
    }

    /// A value of self-describing length.
    fn rlp<T: Decodable>(&mut self, column: usize) -> Result<T, Malformed> {
        let mut rest = self.rest[column].rest();
        let value = T::decode(&mut rest).map_err(|_| Malformed("rlp"))?;
        self.rest[column] = Reader::new(rest);
        Ok(value)
    }
}
