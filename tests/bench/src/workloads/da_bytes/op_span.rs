//! The span batch of the OP stack, written from its public specification
//! (<https://specs.optimism.io/protocol/delta/span-batches.html>): what our codec is compared with.
//!
//! ```text
//! batch    1 | rel_timestamp | l1_origin_num | parent_check 20 | l1_origin_check 20
//!          | block_count | origin_bits | block_tx_counts | txs
//! txs      contract_creation_bits | y_parity_bits | tx_sigs | tx_tos | tx_datas | tx_nonces
//!          | tx_gases | protected_bits
//! channel  the batch as an RLP string, compressed; cut into frames with 23 bytes around each
//! ```
//! The chain id, the block time and everything of L1 but the origin's number and hash are settings of
//! the chain there, and cost nothing here either. Blob transactions and deposits are never batched.

use std::io::{Read, Write};

use alloy_consensus::{SignableTransaction, Transaction, TxEip1559, TxEip2930, TxLegacy};
use alloy_eips::eip2718::{Decodable2718, Encodable2718};
use alloy_eips::eip2930::AccessList;
use alloy_primitives::{Address, Bytes, Signature, TxKind, U256};
use alloy_rlp::{Decodable, Encodable, Header};
use causeway_chainspec::TxEnvelope;
use eyre::{ContextCompat, bail, ensure};

/// Version of span batches among batches.
const SPAN_BATCH: u8 = 1;
/// Channel id, frame number, length, and whether it is the last.
const FRAME_BYTES: usize = 16 + 2 + 4 + 1;
/// What a frame may hold: one blob's room, without the byte that names the version of frames.
const FRAME_ROOM: usize = 130_044 - 1 - FRAME_BYTES;
/// Brotli's window for a channel, as the OP stack's batcher sets it.
const BROTLI_WINDOW: u32 = 22;
/// First byte of a channel compressed with brotli.
const BROTLI_CHANNEL: u8 = 1;

/// Blocks to batch: the transactions of each, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Seconds since the chain's genesis, of the first block.
    pub rel_timestamp: u64,
    /// Number of the L1 block that the last block stands on.
    pub l1_origin: u64,
    /// First 20 bytes of the parent's hash.
    pub parent_check: [u8; 20],
    /// First 20 bytes of the hash of the last block's L1 block.
    pub l1_origin_check: [u8; 20],
    /// Whether a block stands on another L1 block than the one before, and its EIP-2718 bytes.
    pub blocks: Vec<(bool, Vec<Bytes>)>,
}

/// How a channel is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compressor {
    /// zlib at a level, as every chain of the OP stack can.
    Zlib(u32),
    /// Brotli at a quality, from the Fjord upgrade on.
    Brotli(u32),
}

/// Bytes of a batch on DA: the channel, and what stands around its frames.
pub fn posted_bytes(batch: &Batch, compressor: Compressor) -> eyre::Result<usize> {
    let channel = compress(&encode(batch)?, compressor)?;
    Ok(channel.len() + channel.len().div_ceil(FRAME_ROOM) * (FRAME_BYTES + 1))
}

/// A batch as it stands in a channel before compression: an RLP string.
pub fn encode(batch: &Batch) -> eyre::Result<Vec<u8>> {
    let mut out = vec![SPAN_BATCH];
    put(&mut out, batch.rel_timestamp);
    put(&mut out, batch.l1_origin);
    out.extend_from_slice(&batch.parent_check);
    out.extend_from_slice(&batch.l1_origin_check);
    put(&mut out, batch.blocks.len() as u64);
    out.extend(bits(batch.blocks.iter().map(|(changed, _)| *changed)));
    batch.blocks.iter().for_each(|(_, txs)| put(&mut out, txs.len() as u64));
    put_txs(&mut out, batch.blocks.iter().flat_map(|(_, txs)| txs))?;
    let mut rlp = Vec::with_capacity(out.len() + 9);
    out.as_slice().encode(&mut rlp);
    Ok(rlp)
}

fn put_txs<'a>(out: &mut Vec<u8>, txs: impl Iterator<Item = &'a Bytes>) -> eyre::Result<()> {
    let (mut creations, mut parities, mut protected) = (Vec::new(), Vec::new(), Vec::new());
    let (mut signatures, mut tos, mut datas) = (Vec::new(), Vec::new(), Vec::new());
    let (mut nonces, mut gases) = (Vec::new(), Vec::new());
    for raw in txs {
        let tx = TxEnvelope::decode_2718_exact(raw)?;
        let signature = match &tx {
            TxEnvelope::Legacy(signed) => {
                protected.push(signed.tx().chain_id.is_some());
                let tx = signed.tx();
                put_list(&mut datas, &[&tx.value, &tx.gas_price, &tx.input]);
                signed.signature()
            }
            TxEnvelope::Eip2930(signed) => {
                let tx = signed.tx();
                datas.push(1);
                put_list(&mut datas, &[&tx.value, &tx.gas_price, &tx.input, &tx.access_list]);
                signed.signature()
            }
            TxEnvelope::Eip1559(signed) => {
                let tx = signed.tx();
                let (tip, fee) = (tx.max_priority_fee_per_gas, tx.max_fee_per_gas);
                datas.push(2);
                put_list(&mut datas, &[&tx.value, &tip, &fee, &tx.input, &tx.access_list]);
                signed.signature()
            }
            _ => bail!("a transaction of type {} is in no span batch", raw[0]),
        };
        parities.push(signature.v());
        signatures.extend_from_slice(&signature.as_bytes()[..64]);
        creations.push(tx.kind().is_create());
        tos.extend(tx.kind().to().into_iter().flat_map(|to| to.0.0));
        put(&mut nonces, tx.nonce());
        put(&mut gases, tx.gas_limit());
    }
    out.extend(bits(creations.into_iter()));
    out.extend(bits(parities.into_iter()));
    for column in [signatures, tos, datas, nonces, gases] {
        out.extend(column);
    }
    out.extend(bits(protected.into_iter()));
    Ok(())
}

/// Reads what [`encode`] wrote. Transactions belong to the chain `chain_id`.
pub fn decode(rlp: &[u8], chain_id: u64) -> eyre::Result<Batch> {
    let bytes = Header::decode_bytes(&mut &*rlp, false)?;
    let mut rest = bytes;
    ensure!(take(&mut rest, 1)? == [SPAN_BATCH], "another version of batch");
    let (rel_timestamp, l1_origin) = (number(&mut rest)?, number(&mut rest)?);
    let parent_check = take(&mut rest, 20)?.try_into()?;
    let l1_origin_check = take(&mut rest, 20)?.try_into()?;
    let count = number(&mut rest)? as usize;
    let changed = read_bits(&mut rest, count)?;
    let counts: Vec<usize> =
        (0..count).map(|_| Ok(number(&mut rest)? as usize)).collect::<eyre::Result<_>>()?;
    let mut txs = read_txs(&mut rest, counts.iter().sum(), chain_id)?.into_iter();
    ensure!(rest.is_empty(), "{} bytes behind the batch", rest.len());
    let blocks = changed
        .into_iter()
        .zip(counts)
        .map(|(bit, count)| (bit, txs.by_ref().take(count).collect()));
    let blocks = blocks.collect();
    Ok(Batch { rel_timestamp, l1_origin, parent_check, l1_origin_check, blocks })
}

/// What a transaction has in the column of its own form.
enum Data {
    Legacy(U256, u128, Bytes),
    Listed(U256, u128, Bytes, AccessList),
    Dynamic(U256, u128, u128, Bytes, AccessList),
}

fn read_txs(rest: &mut &[u8], count: usize, chain_id: u64) -> eyre::Result<Vec<Bytes>> {
    let creations = read_bits(rest, count)?;
    let parities = read_bits(rest, count)?;
    let signatures = take(rest, 64 * count)?;
    let calls = creations.iter().filter(|creates| !**creates).count();
    let mut tos = take(rest, 20 * calls)?.chunks(20).map(Address::from_slice);
    let datas = (0..count).map(|_| read_data(rest)).collect::<eyre::Result<Vec<_>>>()?;
    let nonces = (0..count).map(|_| number(rest)).collect::<eyre::Result<Vec<_>>>()?;
    let gases = (0..count).map(|_| number(rest)).collect::<eyre::Result<Vec<_>>>()?;
    let legacy = datas.iter().filter(|data| matches!(data, Data::Legacy(..))).count();
    let mut protected = read_bits(rest, legacy)?.into_iter();
    let mut txs = Vec::with_capacity(count);
    for (at, data) in datas.into_iter().enumerate() {
        let (r, s) = signatures[64 * at..64 * (at + 1)].split_at(32);
        let word = |bytes: &[u8]| U256::from_be_slice(bytes);
        let signature = Signature::new(word(r), word(s), parities[at]);
        let to = match creations[at] {
            true => TxKind::Create,
            false => TxKind::Call(tos.next().context("a recipient is missing")?),
        };
        let (nonce, gas_limit) = (nonces[at], gases[at]);
        let envelope: TxEnvelope = match data {
            Data::Legacy(value, gas_price, input) => {
                let chain_id = protected.next().context("a bit is missing")?.then_some(chain_id);
                TxLegacy { chain_id, nonce, gas_price, gas_limit, to, value, input }
                    .into_signed(signature)
                    .into()
            }
            Data::Listed(value, gas_price, input, access_list) => {
                TxEip2930 { chain_id, nonce, gas_price, gas_limit, to, value, access_list, input }
                    .into_signed(signature)
                    .into()
            }
            Data::Dynamic(value, tip, fee, input, access_list) => TxEip1559 {
                chain_id,
                nonce,
                gas_limit,
                max_fee_per_gas: fee,
                max_priority_fee_per_gas: tip,
                to,
                value,
                access_list,
                input,
            }
            .into_signed(signature)
            .into(),
        };
        txs.push(envelope.encoded_2718().into());
    }
    Ok(txs)
}

fn read_data(rest: &mut &[u8]) -> eyre::Result<Data> {
    let kind = *rest.first().context("a transaction is missing")?;
    if kind < 0xc0 {
        *rest = &rest[1..];
    }
    let mut list = Header::decode_bytes(rest, true)?;
    let list = &mut list;
    let value = U256::decode(list)?;
    Ok(match kind {
        0xc0.. => Data::Legacy(value, u128::decode(list)?, Bytes::decode(list)?),
        1 => {
            let (price, input) = (u128::decode(list)?, Bytes::decode(list)?);
            Data::Listed(value, price, input, AccessList::decode(list)?)
        }
        2 => {
            let (tip, fee) = (u128::decode(list)?, u128::decode(list)?);
            Data::Dynamic(value, tip, fee, Bytes::decode(list)?, AccessList::decode(list)?)
        }
        _ => bail!("no form {kind} of transaction"),
    })
}

/// The channel of an encoded batch.
pub fn compress(batch: &[u8], compressor: Compressor) -> eyre::Result<Vec<u8>> {
    match compressor {
        Compressor::Zlib(level) => {
            let level = flate2::Compression::new(level);
            let mut writer = flate2::write::ZlibEncoder::new(Vec::new(), level);
            writer.write_all(batch)?;
            Ok(writer.finish()?)
        }
        Compressor::Brotli(quality) => {
            let mut out = vec![BROTLI_CHANNEL];
            let mut reader = brotli::CompressorReader::new(batch, 1 << 16, quality, BROTLI_WINDOW);
            reader.read_to_end(&mut out)?;
            Ok(out)
        }
    }
}

/// Base-128, least significant group first.
fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn number(rest: &mut &[u8]) -> eyre::Result<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(rest, 1)?[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    bail!("a number of more than 64 bits")
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> eyre::Result<&'a [u8]> {
    let (head, tail) = rest.split_at_checked(count).context("the batch ends too early")?;
    *rest = tail;
    Ok(head)
}

/// Bits as one big-endian number, the first the least significant.
fn bits(bits: impl ExactSizeIterator<Item = bool>) -> Vec<u8> {
    let mut bytes = vec![0; bits.len().div_ceil(8)];
    let last = bytes.len();
    for (at, _) in bits.enumerate().filter(|(_, bit)| *bit) {
        bytes[last - 1 - at / 8] |= 1 << (at % 8);
    }
    bytes
}

fn read_bits(rest: &mut &[u8], count: usize) -> eyre::Result<Vec<bool>> {
    let bytes = take(rest, count.div_ceil(8))?;
    Ok((0..count).map(|at| bytes[bytes.len() - 1 - at / 8] >> (at % 8) & 1 == 1).collect())
}

/// Values as an RLP list.
fn put_list(out: &mut Vec<u8>, values: &[&dyn Encodable]) {
    let payload_length = values.iter().map(|value| value.length()).sum();
    Header { list: true, payload_length }.encode(out);
    values.iter().for_each(|value| value.encode(out));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed<T: SignableTransaction<Signature>>(tx: T, parity: bool) -> Bytes
    where
        TxEnvelope: From<alloy_consensus::Signed<T>>,
    {
        let signature = Signature::new(U256::MAX >> 3, U256::from(77), parity);
        TxEnvelope::from(tx.into_signed(signature)).encoded_2718().into()
    }

    fn batch() -> Batch {
        let to = TxKind::Call(Address::repeat_byte(9));
        let legacy = TxLegacy {
            chain_id: Some(901),
            nonce: 300,
            gas_price: 1 << 70,
            gas_limit: 21_000,
            to,
            value: U256::MAX,
            input: vec![1; 300].into(),
        };
        let old = TxLegacy { chain_id: None, to: TxKind::Create, ..legacy.clone() };
        let access_list = AccessList(vec![alloy_eips::eip2930::AccessListItem {
            address: Address::repeat_byte(3),
            storage_keys: vec![U256::from(5).into()],
        }]);
        let listed = TxEip2930 { chain_id: 901, to, access_list, ..Default::default() };
        let dynamic = TxEip1559 {
            chain_id: 901,
            nonce: 1,
            gas_limit: u64::MAX,
            max_fee_per_gas: 9,
            max_priority_fee_per_gas: 2,
            to,
            value: U256::from(1),
            ..Default::default()
        };
        let first = vec![signed(legacy, true), signed(dynamic.clone(), false), signed(old, true)];
        let more =
            (0..9).map(|nonce| signed(TxEip1559 { nonce, ..dynamic.clone() }, nonce % 2 == 0));
        Batch {
            rel_timestamp: 1 << 33,
            l1_origin: 12_345_678,
            parent_check: [1; 20],
            l1_origin_check: [2; 20],
            blocks: vec![
                (true, first),
                (false, vec![]),
                (false, vec![signed(listed, false)]),
                (true, more.collect()),
            ],
        }
    }

    #[test]
    fn a_batch_gives_back_the_same_transactions() {
        let batch = batch();
        let bytes = encode(&batch).unwrap();
        assert_eq!(decode(&bytes, 901).unwrap(), batch);
        // Only transactions that name their chain change with it.
        assert_ne!(decode(&bytes, 902).unwrap(), batch);
        for cut in [1, bytes.len() / 2, bytes.len() - 1] {
            assert!(decode(&bytes[..cut], 901).is_err());
        }
    }

    #[test]
    fn the_layout_is_that_of_the_specification() {
        let raw = batch().blocks[2].1[0].clone();
        let batch = Batch { blocks: vec![(true, vec![raw]), (false, vec![])], ..batch() };
        let bytes = encode(&batch).unwrap();
        let payload = Header::decode_bytes(&mut bytes.as_slice(), false).unwrap();
        let prefix =
            [&[1][..], &[0x80, 0x80, 0x80, 0x80, 0x20], &[0xce, 0xc2, 0xf1, 0x05]].concat();
        assert_eq!(payload[..10], prefix);
        assert_eq!(payload[10..50], [[1; 20], [2; 20]].concat());
        // Two blocks, the first of another origin; one transaction and none; no creation; even.
        assert_eq!(payload[50..56], [2, 0b01, 1, 0, 0, 0]);
        assert_eq!(payload[56 + 64..56 + 84], [9; 20]);
        assert_eq!(payload[56 + 84], 1, "the form of the transaction before its list");
        // Nonce and gas are zero, and there is no legacy transaction to protect.
        assert_eq!(payload[payload.len() - 2..], [0, 0]);
    }

    #[test]
    fn bits_stand_as_one_number() {
        let set = |ones: &[usize], count| {
            bits((0..count).map(|at| ones.contains(&at)).collect::<Vec<_>>().into_iter())
        };
        assert_eq!(set(&[0], 1), [1]);
        assert_eq!(set(&[0, 8], 9), [0b1, 0b1]);
        assert_eq!(set(&[7, 9], 12), [0b10, 0b1000_0000]);
        assert_eq!(set(&[], 0), [0; 0]);
    }

    #[test]
    fn channels_decompress_to_the_batch() {
        let bytes = encode(&batch()).unwrap();
        let zlib = compress(&bytes, Compressor::Zlib(9)).unwrap();
        let mut back = Vec::new();
        flate2::read::ZlibDecoder::new(zlib.as_slice()).read_to_end(&mut back).unwrap();
        assert_eq!(back, bytes);
        let channel = compress(&bytes, Compressor::Brotli(10)).unwrap();
        back.clear();
        brotli::Decompressor::new(&channel[1..], 4096).read_to_end(&mut back).unwrap();
        assert_eq!((channel[0], back), (BROTLI_CHANNEL, bytes));
    }
}
