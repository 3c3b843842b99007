//! Bytes of the values in the tables: RLP, read back exactly as written.

use std::collections::HashMap;
use std::sync::Arc;

use alloy_consensus::Header;
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_rlp::{Decodable, Encodable, Header as RlpHeader, RlpDecodable, RlpEncodable};
use causeway_chainspec::ethereum::EthereumParts;
use causeway_chainspec::plan::Candidate;
use causeway_chainspec::{
    Account, Block, BlockBody, BlockId, BlockPlan, Claim, ForcedEntry, LaneItem, Receipt,
    SkipReason, Tx, TxError,
};

/// nonce, balance, code hash (empty string if it has no code).
pub(super) fn account(account: &Account) -> Vec<u8> {
    let code = account.bytecode_hash.map_or(Bytes::new(), |hash| hash.0.into());
    alloy_rlp::encode(StoredAccount { nonce: account.nonce, balance: account.balance, code })
}

pub(super) fn decode_account(bytes: &[u8]) -> alloy_rlp::Result<Account> {
    let StoredAccount { nonce, balance, code } = alloy_rlp::decode_exact(bytes)?;
    let bytecode_hash = match code.len() {
        0 => None,
        32 => Some(B256::from_slice(&code)),
        _ => return Err(alloy_rlp::Error::UnexpectedLength),
    };
    Ok(Account { nonce, balance, bytecode_hash })
}

#[derive(RlpEncodable, RlpDecodable)]
struct StoredAccount {
    nonce: u64,
    balance: U256,
    code: Bytes,
}

pub(super) fn id(block: &Block) -> [u8; 64] {
    super::tables::join(&[block.claim_hash.as_slice(), block.hash.as_slice()])
}

pub(super) fn decode_id(number: u64, bytes: &[u8; 64]) -> BlockId {
    BlockId { number, claim: B256::from_slice(&bytes[..32]), hash: B256::from_slice(&bytes[32..]) }
}

/// A block without its header and results.
#[derive(RlpEncodable, RlpDecodable)]
#[rlp(trailing)]
struct StoredBlock {
    claim: Claim,
    body: BlockBody,
    forced: Vec<ForcedEntry>,
    candidates: Vec<StoredCandidate>,
    txs: Vec<StoredTx>,
    ethereum: Option<EthereumParts>,
}

/// How the input bytes at the same place were decoded: by whom they were signed, or why not.
enum StoredCandidate {
    Sender(Address),
    Invalid(B256, SkipReason),
}

/// An included transaction: a candidate by index, or bytes that protocol code made.
enum StoredTx {
    Candidate(u64),
    Own(Bytes, Address),
}

/// Plan, senders and included transactions. `None` if the candidates are not the forced bytes and
/// then the body's candidates, one by one: such a plan breaks its own contract.
pub(super) fn block(block: &Block) -> Option<Vec<u8>> {
    let plan = &block.plan;
    let inputs = inputs(&plan.forced, &plan.body);
    if inputs.len() != plan.candidates.len() {
        return None;
    }
    let mut indexes = HashMap::with_capacity(inputs.len());
    let mut candidates = Vec::with_capacity(inputs.len());
    for (index, (candidate, bytes)) in plan.candidates.iter().zip(&inputs).enumerate() {
        candidates.push(match candidate {
            Candidate::Tx(tx) => {
                if tx.raw != **bytes {
                    return None;
                }
                indexes.insert(tx.hash, index as u64);
                StoredCandidate::Sender(tx.sender)
            }
            Candidate::Invalid(hash, reason) => StoredCandidate::Invalid(*hash, reason.clone()),
        });
    }
    let txs = block
        .txs
        .iter()
        .map(|tx| match indexes.get(&tx.hash) {
            Some(index) => StoredTx::Candidate(*index),
            None => StoredTx::Own(tx.raw.clone(), tx.sender),
        })
        .collect();
    Some(alloy_rlp::encode(StoredBlock {
        claim: plan.claim.clone(),
        body: plan.body.clone(),
        forced: plan.forced.clone(),
        candidates,
        txs,
        ethereum: block.ethereum.as_deref().cloned(),
    }))
}

fn inputs<'a>(forced: &'a [ForcedEntry], body: &'a BlockBody) -> Vec<&'a Bytes> {
    forced.iter().map(|entry| &entry.bytes).chain(&body.candidates).collect()
}

/// A slot's value: big-endian, no leading zeros; empty for zero.
pub(super) fn word(value: U256) -> Vec<u8> {
    value.to_be_bytes_trimmed_vec()
}

pub(super) fn decode_word(bytes: &[u8]) -> alloy_rlp::Result<U256> {
    U256::try_from_be_slice(bytes).ok_or(alloy_rlp::Error::Overflow)
}

/// What [`block`] and [`results`] wrote, put together with the header.
pub(super) fn decode_block(
    id: BlockId,
    header: Header,
    block: &[u8],
    results: &[u8],
) -> alloy_rlp::Result<Block> {
    let StoredBlock { claim, body, forced, candidates, txs, ethereum } =
        alloy_rlp::decode_exact(block)?;
    let inputs = inputs(&forced, &body);
    if inputs.len() != candidates.len() {
        return Err(alloy_rlp::Error::UnexpectedLength);
    }
    let stored =
        |raw: &Bytes, sender| Tx::stored(raw.clone(), sender).map(Arc::new).map_err(|_| CORRUPT_TX);
    let candidates = candidates
        .into_iter()
        .zip(inputs)
        .map(|(candidate, bytes)| match candidate {
            StoredCandidate::Sender(sender) => Ok(Candidate::Tx(stored(bytes, sender)?)),
            StoredCandidate::Invalid(hash, reason) => Ok(Candidate::Invalid(hash, reason)),
        })
        .collect::<alloy_rlp::Result<Vec<_>>>()?;
    let txs = txs
        .into_iter()
        .map(|tx| match tx {
            StoredTx::Own(raw, sender) => stored(&raw, sender),
            StoredTx::Candidate(index) => match candidates.get(index as usize) {
                Some(Candidate::Tx(tx)) => Ok(tx.clone()),
                _ => Err(CORRUPT_TX),
            },
        })
        .collect::<alloy_rlp::Result<Vec<_>>>()?;
    let StoredResults { receipts, skipped, outbox } = alloy_rlp::decode_exact(results)?;
    Ok(Block {
        plan: BlockPlan { claim, body, forced, candidates },
        claim_hash: id.claim,
        header,
        hash: id.hash,
        txs,
        receipts,
        ethereum: ethereum.map(Arc::new),
        skipped: skipped.into_iter().map(|Skipped { hash, reason }| (hash, reason)).collect(),
        outbox,
    })
}

const CORRUPT_TX: alloy_rlp::Error = alloy_rlp::Error::Custom("stored transaction is damaged");

#[derive(RlpEncodable, RlpDecodable)]
struct StoredResults {
    receipts: Vec<Receipt>,
    skipped: Vec<Skipped>,
    outbox: Vec<LaneItem>,
}

struct Skipped {
    hash: B256,
    reason: SkipReason,
}

/// Receipts, skipped candidates and outbox.
pub(super) fn results(block: &Block) -> Vec<u8> {
    let skipped = block
        .skipped
        .iter()
        .map(|(hash, reason)| Skipped { hash: *hash, reason: reason.clone() })
        .collect();
    let (receipts, outbox) = (block.receipts.clone(), block.outbox.clone());
    alloy_rlp::encode(StoredResults { receipts, skipped, outbox })
}

fn encode_list(fields: &[u8], out: &mut dyn alloy_rlp::BufMut) {
    RlpHeader { list: true, payload_length: fields.len() }.encode(out);
    out.put_slice(fields);
}

fn encode_skipped(hash: B256, reason: &SkipReason, out: &mut dyn alloy_rlp::BufMut) {
    let mut fields = Vec::with_capacity(80);
    hash.encode(&mut fields);
    encode_reason(reason, &mut fields);
    encode_list(&fields, out);
}

fn decode_skipped(buf: &mut &[u8]) -> alloy_rlp::Result<(B256, SkipReason)> {
    let mut fields = RlpHeader::decode_bytes(buf, true)?;
    let skipped = (B256::decode(&mut fields)?, decode_reason(&mut fields)?);
    if fields.is_empty() { Ok(skipped) } else { Err(alloy_rlp::Error::UnexpectedLength) }
}

impl Encodable for Skipped {
    fn encode(&self, out: &mut dyn alloy_rlp::BufMut) {
        encode_skipped(self.hash, &self.reason, out);
    }
}

impl Decodable for Skipped {
    fn decode(buf: &mut &[u8]) -> alloy_rlp::Result<Self> {
        decode_skipped(buf).map(|(hash, reason)| Self { hash, reason })
    }
}

fn is_list(buf: &[u8]) -> bool {
    buf.first().is_some_and(|byte| *byte >= alloy_rlp::EMPTY_LIST_CODE)
}

impl Encodable for StoredCandidate {
    fn encode(&self, out: &mut dyn alloy_rlp::BufMut) {
        match self {
            Self::Sender(sender) => sender.encode(out),
            Self::Invalid(hash, reason) => encode_skipped(*hash, reason, out),
        }
    }

    fn length(&self) -> usize {
        match self {
            Self::Sender(sender) => sender.length(),
            Self::Invalid(..) => {
                let mut out = Vec::new();
                self.encode(&mut out);
                out.len()
            }
        }
    }
}

impl Decodable for StoredCandidate {
    fn decode(buf: &mut &[u8]) -> alloy_rlp::Result<Self> {
        if is_list(buf) {
            decode_skipped(buf).map(|(hash, reason)| Self::Invalid(hash, reason))
        } else {
            Address::decode(buf).map(Self::Sender)
        }
    }
}

impl Encodable for StoredTx {
    fn encode(&self, out: &mut dyn alloy_rlp::BufMut) {
        match self {
            Self::Candidate(index) => index.encode(out),
            Self::Own(raw, sender) => {
                let mut fields = Vec::with_capacity(raw.len() + 30);
                raw.encode(&mut fields);
                sender.encode(&mut fields);
                encode_list(&fields, out);
            }
        }
    }

    fn length(&self) -> usize {
        match self {
            Self::Candidate(index) => index.length(),
            Self::Own(raw, sender) => {
                let payload = raw.length() + sender.length();
                payload + alloy_rlp::length_of_length(payload)
            }
        }
    }
}

impl Decodable for StoredTx {
    fn decode(buf: &mut &[u8]) -> alloy_rlp::Result<Self> {
        if !is_list(buf) {
            return u64::decode(buf).map(Self::Candidate);
        }
        let mut fields = RlpHeader::decode_bytes(buf, true)?;
        let tx = Self::Own(Decodable::decode(&mut fields)?, Decodable::decode(&mut fields)?);
        if fields.is_empty() { Ok(tx) } else { Err(alloy_rlp::Error::UnexpectedLength) }
    }
}

/// A list of a tag and what the reason holds.
fn encode_reason(reason: &SkipReason, out: &mut Vec<u8>) {
    let mut fields = Vec::with_capacity(48);
    let mut put = |tag: u8, parts: &[&dyn Encodable]| {
        tag.encode(&mut fields);
        parts.iter().for_each(|part| part.encode(&mut fields));
    };
    match reason {
        SkipReason::Undecodable(TxError::Blob) => put(1, &[]),
        SkipReason::Undecodable(TxError::Type) => put(2, &[]),
        SkipReason::Undecodable(TxError::Encoding) => put(3, &[]),
        SkipReason::Undecodable(TxError::Signature) => put(4, &[]),
        SkipReason::ChainId { have, want } => put(5, &[have, want]),
        SkipReason::NonceTooLow { state, tx } => put(6, &[state, tx]),
        SkipReason::NonceTooHigh { state, tx } => put(7, &[state, tx]),
        SkipReason::Funds { have, want } => put(8, &[have, want]),
        SkipReason::FeeTooLow { max_fee, base_fee } => put(9, &[max_fee, base_fee]),
        SkipReason::TipAboveFee => put(10, &[]),
        SkipReason::IntrinsicGas { have, want } => put(11, &[have, want]),
        SkipReason::GasLimit { have, most } => put(12, &[have, most]),
        SkipReason::BlockFull { have, left } => put(13, &[have, left]),
        SkipReason::SenderNotEoa => put(14, &[]),
        SkipReason::InitCode { have, most } => put(15, &[&(*have as u64), &(*most as u64)]),
        SkipReason::Other(text) => put(16, &[text]),
        SkipReason::Unsupported(what) => put(17, &[what]),
        SkipReason::BytesFull { have, left } => put(18, &[have, left]),
        SkipReason::Undecodable(TxError::Protocol) => put(19, &[]),
    }
    encode_list(&fields, out);
}

fn decode_reason(buf: &mut &[u8]) -> alloy_rlp::Result<SkipReason> {
    let mut payload = RlpHeader::decode_bytes(buf, true)?;
    let at = &mut payload;
    let reason = match u8::decode(at)? {
        1 => TxError::Blob.into(),
        2 => TxError::Type.into(),
        3 => TxError::Encoding.into(),
        4 => TxError::Signature.into(),
        5 => SkipReason::ChainId { have: next(at)?, want: next(at)? },
        6 => SkipReason::NonceTooLow { state: next(at)?, tx: next(at)? },
        7 => SkipReason::NonceTooHigh { state: next(at)?, tx: next(at)? },
        8 => SkipReason::Funds { have: next(at)?, want: next(at)? },
        9 => SkipReason::FeeTooLow { max_fee: next(at)?, base_fee: next(at)? },
        10 => SkipReason::TipAboveFee,
        11 => SkipReason::IntrinsicGas { have: next(at)?, want: next(at)? },
        12 => SkipReason::GasLimit { have: next(at)?, most: next(at)? },
        13 => SkipReason::BlockFull { have: next(at)?, left: next(at)? },
        14 => SkipReason::SenderNotEoa,
        15 => SkipReason::InitCode {
            have: next::<u64>(at)? as usize,
            most: next::<u64>(at)? as usize,
        },
        16 => SkipReason::Other(next(at)?),
        17 => SkipReason::Unsupported(next(at)?),
        18 => SkipReason::BytesFull { have: next(at)?, left: next(at)? },
        19 => TxError::Protocol.into(),
        _ => return Err(alloy_rlp::Error::Custom("unknown skip reason")),
    };
    if at.is_empty() { Ok(reason) } else { Err(alloy_rlp::Error::UnexpectedLength) }
}

fn next<T: Decodable>(buf: &mut &[u8]) -> alloy_rlp::Result<T> {
    T::decode(buf)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_skip_reason_survives() {
        let reasons = [
            TxError::Blob.into(),
            TxError::Type.into(),
            TxError::Encoding.into(),
            TxError::Signature.into(),
            SkipReason::ChainId { have: 1, want: u64::MAX },
            SkipReason::NonceTooLow { state: 3, tx: 0 },
            SkipReason::NonceTooHigh { state: 0, tx: 900 },
            SkipReason::Funds { have: U256::ZERO, want: U256::MAX },
            SkipReason::FeeTooLow { max_fee: u128::MAX, base_fee: 7 },
            SkipReason::TipAboveFee,
            SkipReason::IntrinsicGas { have: 1, want: 2 },
            SkipReason::GasLimit { have: 3, most: 4 },
            SkipReason::BlockFull { have: 5, left: 6 },
            SkipReason::SenderNotEoa,
            SkipReason::InitCode { have: 50_000, most: 49_152 },
            SkipReason::Other("odd".into()),
            SkipReason::Unsupported("creation".into()),
            SkipReason::BytesFull { have: 7, left: 8 },
            TxError::Protocol.into(),
        ];
        for reason in reasons {
            let mut bytes = Vec::new();
            encode_reason(&reason, &mut bytes);
            assert_eq!(decode_reason(&mut &*bytes), Ok(reason.clone()));
            for end in 0..bytes.len() {
                assert!(decode_reason(&mut &bytes[..end]).is_err(), "{reason} cut at {end}");
            }
        }
    }

    #[test]
    fn an_account_survives_with_and_without_code() {
        for bytecode_hash in [None, Some(B256::repeat_byte(7))] {
            let before = Account { nonce: 9, balance: U256::from(1u64 << 40), bytecode_hash };
            assert_eq!(decode_account(&account(&before)), Ok(before));
        }
        assert!(decode_account(&[]).is_err());
    }
}
