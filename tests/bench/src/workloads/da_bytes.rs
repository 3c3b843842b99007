//! Bytes on DA: our codec against the OP stack's span batches and against plain compression.

mod op_span;

use alloy_primitives::{Address, B256, Bytes};
use causeway_chainspec::{BlockBody, Claim, Seal, Span, SpanBlock, Tip};
use causeway_da::DaBlock;
use causeway_da::codec::{self, EncodeOptions, ReadContext};
use causeway_execution::genesis;
use causeway_tests::keys;
use causeway_tests::txs::Rng;
use eyre::ensure;

use crate::bench::Bench;
use crate::limits::costs::thread_us;
use crate::made::{self, Mix, Recipients, Values};
use crate::report::{Goal, Row, Section};
use op_span::{Batch, Compressor};

/// Transactions of the long span, and of a block of it.
const TXS: u64 = 10_000;
const BLOCK: usize = 250;
/// Most bytes of a blob: one of Ethereum's.
const BLOB: usize = 128 << 10;
/// Who sends.
const SENDERS: u64 = 200;

/// A span of blocks that hold these transactions, its times by `step_ms`.
fn span(bodies: Vec<Vec<Bytes>>, mut step_ms: impl FnMut() -> u64) -> eyre::Result<Span> {
    let spec = made::spec(1_750_000_000_000, &[], 0, &[])?;
    let mut parent: Claim = genesis::claim(&spec);
    // A chain that has run for a while.
    (parent.number, parent.term) = (1_000_000, 5_000_000);
    let below = Tip::of(&parent);
    let mut rng = Rng::new(7);
    let mut blocks = Vec::with_capacity(bodies.len());
    for candidates in bodies {
        let body = BlockBody { inbound: Vec::new(), candidates };
        let claim = Claim { time_ms: parent.time_ms + step_ms(), ..made::claim_on(&parent, &body) };
        parent = claim.clone();
        blocks.push(SpanBlock { claim, body });
    }
    let mut word = || B256::from_slice(&rng.bytes(32));
    let (rules_hash, last_header) = (word(), word());
    let mut proof = rng.bytes(65);
    // The form of a signature: `s` in the lower half, v 27 or 28.
    proof[32] &= 0x7f;
    proof[64] = 27;
    let seal = Seal { view: 0, proof: proof.into() };
    let identity = spec.identity();
    Ok(Span { identity, rules_hash, parent: below, blocks, seal, last_header })
}

/// Bytes that a span takes on DA, everything counted.
fn posted(span: &Span) -> eyre::Result<usize> {
    let blobs = codec::encode(span, "evm", &keys::poster(), &EncodeOptions::default(), BLOB)?;
    Ok(blobs.iter().map(|blob| blob.len()).sum())
}

/// A span is what is read back from its blobs. Returns CPU time of reading, us, of some times.
fn check(span: &Span, times: usize) -> eyre::Result<Vec<f64>> {
    let key = keys::poster();
    let blobs = codec::encode(span, "evm", &key, &EncodeOptions::default(), BLOB)?;
    let block = DaBlock {
        da: Default::default(),
        parent: B256::ZERO,
        time_ms: 0,
        blobs,
        forced: Vec::new(),
        keys: Vec::new(),
    };
    let context = ReadContext { identity: span.identity, posters: &[key.address()] };
    let posted = [span.posted()?];
    let mut spent = Vec::with_capacity(times);
    for _ in 0..times {
        let before = thread_us();
        let (entry, _) = codec::decode(&block, &context);
        spent.push(thread_us() - before);
        ensure!(entry.spans == posted, "the span reads back as another");
    }
    Ok(spent)
}

/// The same blocks as the OP stack would batch them.
fn batch(span: &Span) -> Batch {
    let mut rng = Rng::new(8);
    let mut check = || rng.bytes(20).try_into().expect("20 bytes");
    // An L1 block every 12 s.
    let origin = |block: &SpanBlock| block.claim.time_ms / 12_000;
    let mut last = None;
    let blocks = span.blocks.iter().map(|block| {
        let changed = last.replace(origin(block)) != Some(origin(block));
        (changed, block.body.candidates.clone())
    });
    Batch {
        rel_timestamp: 31_000_000,
        l1_origin: 23_000_000,
        parent_check: check(),
        l1_origin_check: check(),
        blocks: blocks.collect(),
    }
}

/// Transactions as they are, in a list a block.
fn rlp(span: &Span) -> Vec<u8> {
    let blocks: Vec<Vec<Bytes>> =
        span.blocks.iter().map(|block| block.body.candidates.clone()).collect();
    alloy_rlp::encode(blocks)
}

/// The mixes of transactions that are compared.
fn mixes() -> [(&'static str, Mix); 4] {
    let people = Recipients::Any(1_000);
    let token = Some(Address::repeat_byte(0x70));
    [
        ("fresh recipients, random values", Mix::FRESH),
        (
            "1,000 recipients, round values",
            Mix { recipients: people, values: Values::Round, ..Mix::FRESH },
        ),
        ("ERC-20, fresh recipients", Mix { token, ..Mix::FRESH }),
        (
            "ERC-20, 1,000 recipients, round values",
            Mix { recipients: people, values: Values::Round, token, ..Mix::FRESH },
        ),
    ]
}

/// The workload `w8-da-bytes`.
pub fn run(bench: &Bench, section: &mut Section) -> eyre::Result<()> {
    section.title = "Bytes on DA for each transaction".into();
    let count = bench.size.pick(2_000, TXS);
    let senders = made::senders(SENDERS);
    for (index, (name, mix)) in mixes().into_iter().enumerate() {
        let raw = mix.sign(40 + index as u64, &senders, count);
        let bodies = raw.chunks(BLOCK).map(<[Bytes]>::to_vec).collect();
        let span = span(bodies, || 250)?;
        compare(bench, section, name, &span, index == 0)?;
    }
    short_blocks(bench, section, &senders)?;
    section.note(format!(
        "spans of {count} transactions in blocks of {BLOCK}, {SENDERS} senders, real signatures; our bytes are those of whole blobs with the poster's signature, the seal and hashes; OP's are a channel with its frames, authenticated by an L1 transaction that is not counted; its layout by specs.optimism.io and read back to the same transactions"
    ));
    Ok(())
}

fn compare(
    bench: &Bench,
    section: &mut Section,
    name: &str,
    span: &Span,
    with_goals: bool,
) -> eyre::Result<()> {
    let count: usize = span.blocks.iter().map(|block| block.body.candidates.len()).sum();
    let each = |bytes: usize| bytes as f64 / count as f64;
    let ours = each(posted(span)?);
    let bytes = Row::new(format!("{name}: ours"), "B/tx", vec![ours]);
    let mut times = Vec::new();
    for _ in 0..bench.size.pick(5, 9) {
        let before = thread_us();
        posted(span)?;
        times.push((thread_us() - before) / count as f64);
    }
    let encoding = Row::new(format!("{name}: encoding"), "us/tx", times);
    let times = check(span, bench.size.pick(5, 9))?;
    let times = times.into_iter().map(|us| us / count as f64).collect();
    let decoding =
        Row::new(format!("{name}: decoding, poster's signature included"), "us/tx", times);
    for (row, goal) in [(bytes, 93.5), (encoding, 1.0), (decoding, 1.0)] {
        section.row(if with_goals { row.goal(Goal::AtMost(goal)) } else { row });
    }
    let batch = batch(span);
    let read = op_span::decode(&op_span::encode(&batch)?, made::CHAIN_ID)?;
    ensure!(read == batch, "the span batch does not give back its transactions");
    let mut best = f64::MAX;
    for (how, compressor) in
        [("zlib 9", Compressor::Zlib(9)), ("brotli 10", Compressor::Brotli(10))]
    {
        let before = thread_us();
        let bytes = each(op_span::posted_bytes(&batch, compressor)?);
        let us = (thread_us() - before) / count as f64;
        best = best.min(bytes);
        section.row(Row::new(format!("{name}: OP span batch, {how}"), "B/tx", vec![bytes]));
        section.row(Row::new(format!("{name}: OP span batch, {how}"), "us/tx", vec![us]));
    }
    let same = each(zstd::bulk::compress(&op_span::encode(&batch)?, 3)?.len());
    section.row(Row::new(format!("{name}: OP span batch, by zstd 3"), "B/tx", vec![same]));
    let rlp = rlp(span);
    let zstd = each(zstd::bulk::compress(&rlp, 3)?.len());
    let brotli = each(op_span::compress(&rlp, Compressor::Brotli(5))?.len());
    section.row(Row::new(format!("{name}: RLP, zstd 3"), "B/tx", vec![zstd]));
    section.row(Row::new(format!("{name}: RLP, brotli 5"), "B/tx", vec![brotli]));
    let ratio =
        Row::new(format!("{name}: ours against the better OP span batch"), "x", vec![ours / best]);
    section.row(ratio.goal(Goal::AtMost(1.0)));
    Ok(())
}

/// Blocks of 10 ms at 500 transactions a second, a second of them in a span.
fn short_blocks(
    bench: &Bench,
    section: &mut Section,
    senders: &[alloy_signer_local::PrivateKeySigner],
) -> eyre::Result<()> {
    let blocks = bench.size.pick(20, 100);
    let raw = Mix::FRESH.sign(60, senders, 5 * blocks);
    let bodies: Vec<Vec<Bytes>> = raw.chunks(5).map(<[Bytes]>::to_vec).collect();
    let mut rng = Rng::new(61);
    // A block comes when the one before is durable: not every 10 ms to the ms.
    let mut late = || 9 + rng.below(3);
    let many = span(bodies, &mut late)?;
    check(&many, 1)?;
    let many = posted(&many)?;
    let one = posted(&span(vec![raw.clone()], &mut late)?)?;
    let empty = |count: u64, step: &mut dyn FnMut() -> u64| -> eyre::Result<usize> {
        posted(&span(vec![Vec::new(); count as usize], step)?)
    };
    let single = empty(1, &mut late)?;
    let empties = empty(1 + blocks, &mut late)?;
    let row = |what: &str, bytes: f64| Row::new(format!("10 ms blocks: {what}"), "B", vec![bytes]);
    section.row(row("each of 500 tx/s", many as f64 / raw.len() as f64));
    section.row(row("an empty block", (empties as f64 - single as f64) / blocks as f64));
    let fixed = (many as f64 - one as f64) / (blocks - 1) as f64;
    section.row(row("a block besides its transactions", fixed).goal(Goal::AtMost(6.0)));
    section.row(row("a span of one empty block", single as f64).goal(Goal::AtMost(200.0)));
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn all_mixes_read_back_and_op_batches_them_too() {
        let senders = made::senders(5);
        for (name, mix) in mixes() {
            let raw = mix.sign(1, &senders, 60);
            let span = span(raw.chunks(20).map(<[Bytes]>::to_vec).collect(), || 250).unwrap();
            check(&span, 1).unwrap();
            let batch = batch(&span);
            let read = op_span::decode(&op_span::encode(&batch).unwrap(), made::CHAIN_ID).unwrap();
            assert_eq!(read, batch, "{name}");
            let signatures = 64 * 60;
            for bytes in [
                posted(&span).unwrap(),
                op_span::posted_bytes(&batch, Compressor::Zlib(9)).unwrap(),
                op_span::posted_bytes(&batch, Compressor::Brotli(10)).unwrap(),
            ] {
                assert!(bytes > signatures, "{name}: less than the signatures alone");
            }
        }
    }
}
