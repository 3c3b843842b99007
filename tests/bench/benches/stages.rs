//! What each stage of a block costs: recover, execute, follow, root, commit, codec. Every group gives its
//! throughput in transactions or accounts, so that a stage compares with the next.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, U256};
use causeway_chainspec::plan::Candidate;
use causeway_chainspec::spec::presets::{Keys, devnet_chain};
use causeway_chainspec::spec::{Inputs, parse};
use causeway_chainspec::{
    Account, AccountDiff, BlockBody, BlockPlan, ChainSpec, Claim, Span, SpanBlock, StateDiff, Tip,
    Tx,
};
use causeway_da::DaBlock;
use causeway_da::codec::{self, EncodeOptions, ReadContext};
use causeway_execution::overlay::{Empty, TrieOver};
use causeway_execution::trie;
use causeway_execution::{Pipeline, PipelineConfig, Stop};
use causeway_tests::keys;
use causeway_tests::txs::{Draft, Form};
use causeway_tests::world::GENESIS_MS;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use tempfile::TempDir;

/// Transactions of the block that is executed and committed.
const TXS: u64 = 1_000;
/// Blocks that are executed one after the other.
const FOLLOWED: u64 = 16;

fn spec(vm: &str) -> Arc<ChainSpec> {
    let text = devnet_chain("bench", 901, vm, Keys::DEV, GENESIS_MS);
    let (spec, _warnings) = parse(&text, &Inputs::NONE).expect("the preset is valid");
    Arc::new(spec)
}

fn recipient(index: u64) -> Address {
    let mut address = [0x77; 20];
    address[..8].copy_from_slice(&index.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    address.into()
}

/// Transfers of ten senders to fresh recipients, in nonce order.
fn transfers(count: u64) -> Vec<Bytes> {
    let senders = keys::accounts();
    (0..count)
        .map(|index| {
            let sender = &senders[index as usize % senders.len()];
            let nonce = index / senders.len() as u64;
            Draft::transfer(901, nonce, recipient(index), 1).sign(Form::Dynamic, sender)
        })
        .collect()
}

fn open(dir: &Path, vm: &str) -> Pipeline {
    let config = PipelineConfig {
        datadir: dir.into(),
        spec: spec(vm),
        modules: Vec::new(),
        archive: false,
        address_index: None,
        history_blocks: 128,
        cache_bytes: 64 << 20,
    };
    Pipeline::open(config).expect("an empty directory opens").0
}

/// A block of transfers on genesis, whose senders are recovered.
fn plan(pipeline: &Pipeline) -> BlockPlan {
    let genesis = pipeline.snapshot().block(0).expect("readable").expect("there");
    let body = BlockBody { inbound: Vec::new(), candidates: transfers(TXS) };
    let claim = next(&genesis.plan.claim, &body);
    BlockPlan::new(claim, body, Vec::new(), &|_| None)
}

/// The claim that follows another, a second later.
fn next(parent: &Claim, body: &BlockBody) -> Claim {
    Claim {
        number: parent.number + 1,
        parent: parent.hash(),
        time_ms: parent.time_ms + 1000,
        inbound_root: body.inbound_root(),
        candidates_root: body.candidates_root(),
        ..parent.clone()
    }
}

/// Plans of blocks that follow each other, each of as many transfers, senders recovered.
fn line(pipeline: &Pipeline) -> Vec<BlockPlan> {
    let raw = transfers(FOLLOWED * TXS);
    let txs: Vec<_> =
        raw.into_iter().map(|raw| Arc::new(Tx::decode(raw).expect("a transaction"))).collect();
    let mut plans = vec![plan(pipeline)];
    for txs in txs.chunks(TXS as usize).skip(1) {
        let parent = &plans.last().expect("the first one").claim;
        let body = BlockBody {
            inbound: Vec::new(),
            candidates: txs.iter().map(|tx| tx.raw.clone()).collect(),
        };
        let claim = next(parent, &body);
        let candidates = txs.iter().cloned().map(Candidate::Tx).collect();
        plans.push(BlockPlan { claim, body, forced: Vec::new(), candidates });
    }
    plans
}

fn recover(c: &mut Criterion) {
    let raw = transfers(TXS);
    let mut group = c.benchmark_group("recover");
    group.throughput(Throughput::Elements(TXS));
    group.bench_function("transfers", |b| {
        b.iter(|| raw.iter().map(|raw| Tx::decode(raw.clone()).is_ok()).filter(|ok| *ok).count());
    });
    group.finish();
}

fn execute(c: &mut Criterion) {
    let mut group = c.benchmark_group("execute");
    group.throughput(Throughput::Elements(TXS));
    for vm in ["evm", "ledger"] {
        let dir = TempDir::new().expect("a temporary directory");
        let pipeline = open(dir.path(), vm);
        let plan = plan(&pipeline);
        // Execution twice (draft, then clean), both roots and the header.
        group.bench_function(format!("build/{vm}"), |b| {
            b.iter_batched(
                || plan.clone(),
                |plan| pipeline.build(plan, &Stop::never()).expect("a valid block"),
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

/// Blocks of a span, as a full node executes them: each before the next, and each while the one
/// before is hashed.
fn follow(c: &mut Criterion) {
    let mut group = c.benchmark_group("follow");
    group.throughput(Throughput::Elements(FOLLOWED * TXS));
    group.sample_size(10);
    let maker = TempDir::new().expect("a temporary directory");
    let maker = open(maker.path(), "evm");
    let plans = line(&maker);
    let fresh = || {
        let dir = TempDir::new().expect("a temporary directory");
        let pipeline = open(dir.path(), "evm");
        (dir, pipeline, plans.clone())
    };
    let adopt = |pipeline: &Pipeline, plans: Vec<BlockPlan>| {
        let plans = plans.into_iter().map(|plan| (plan, None)).collect();
        pipeline.adopt(plans).expect("valid blocks")
    };
    group.bench_function("one_by_one", |b| {
        let run = |(dir, pipeline, plans): (TempDir, Pipeline, Vec<BlockPlan>)| {
            for plan in &plans {
                pipeline.execute(plan.clone()).expect("a valid block");
            }
            adopt(&pipeline, plans);
            (dir, pipeline)
        };
        b.iter_batched(fresh, run, BatchSize::PerIteration);
    });
    group.bench_function("ahead", |b| {
        let run = |(dir, pipeline, plans): (TempDir, Pipeline, Vec<BlockPlan>)| {
            adopt(&pipeline, plans);
            (dir, pipeline)
        };
        b.iter_batched(fresh, run, BatchSize::PerIteration);
    });
    group.finish();
}

fn balances(range: std::ops::Range<u64>, wei: u64) -> StateDiff {
    let account = Some(Account::new(1, U256::from(wei), None));
    let diff = AccountDiff { account, ..AccountDiff::default() };
    let accounts: BTreeMap<_, _> = range.map(|index| (recipient(index), diff.clone())).collect();
    StateDiff { accounts, ..StateDiff::default() }
}

fn root(c: &mut Criterion) {
    let mut group = c.benchmark_group("root");
    for accounts in [10_000, 100_000] {
        let (_, nodes) =
            trie::state_root(&Empty, &balances(0..accounts, 1)).expect("memory does not fail");
        let nodes = TrieOver { diff: &nodes, below: &Empty };
        let touched = balances(0..2_000, 2);
        group.throughput(Throughput::Elements(2_000));
        group.bench_function(format!("2000_of_{accounts}"), |b| {
            b.iter(|| trie::state_root(black_box(&nodes), &touched).expect("memory does not fail"));
        });
    }
    group.finish();
}

fn commit(c: &mut Criterion) {
    let mut group = c.benchmark_group("commit");
    group.throughput(Throughput::Elements(TXS));
    group.sample_size(10);
    // The log's fdatasync and the store behind it.
    group.bench_function("durable_block", |b| {
        b.iter_batched(
            || {
                let dir = TempDir::new().expect("a temporary directory");
                let pipeline = open(dir.path(), "evm");
                let block = pipeline.execute(plan(&pipeline)).expect("a valid block");
                (dir, pipeline, block)
            },
            |(dir, pipeline, block)| {
                pipeline.commit(block.claim_hash, None, None).expect("the disk works");
                pipeline.flush().expect("the disk works");
                (dir, pipeline)
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

/// 10,000 transfers in blocks of 250.
fn span() -> Span {
    let raw = transfers(10_000);
    let mut parent = B256::repeat_byte(1);
    let (cut, time_ms) = (Default::default(), GENESIS_MS);
    let below = Tip { claim: parent, number: 0, time_ms, term: 0, cut, origin: None };
    let blocks: Vec<_> = raw
        .chunks(250)
        .zip(1..)
        .map(|(raw, number)| {
            let body = BlockBody { inbound: Vec::new(), candidates: raw.to_vec() };
            let claim = Claim {
                identity: B256::repeat_byte(2),
                number,
                term: 0,
                parent,
                time_ms: GENESIS_MS + number * 250,
                origin: None,
                cut: Default::default(),
                anchors: Vec::new(),
                inbound_root: body.inbound_root(),
                candidates_root: body.candidates_root(),
                takeover: None,
            };
            parent = claim.hash();
            SpanBlock { claim, body }
        })
        .collect();
    let seal = causeway_chainspec::Seal { view: 0, proof: vec![7; 65].into() };
    let (identity, rules_hash) = (B256::repeat_byte(2), B256::repeat_byte(3));
    Span { identity, rules_hash, parent: below, blocks, seal, last_header: B256::repeat_byte(4) }
}

fn code(c: &mut Criterion) {
    let (span, key) = (span(), keys::poster());
    let encode =
        || codec::encode(&span, "evm", &key, &EncodeOptions::default(), 1 << 20).expect("it fits");
    let blobs = encode();
    let bytes: usize = blobs.iter().map(|blob| blob.len()).sum();
    println!("codec: {:.1} bytes a transfer", bytes as f64 / 10_000.0);
    let block = DaBlock {
        da: Default::default(),
        parent: B256::ZERO,
        time_ms: GENESIS_MS,
        blobs,
        forced: Vec::new(),
        keys: Vec::new(),
    };
    let context = ReadContext { identity: span.identity, posters: &[key.address()] };
    let mut group = c.benchmark_group("codec");
    group.throughput(Throughput::Elements(10_000));
    group.bench_function("encode", |b| b.iter(encode));
    group.bench_function("decode", |b| b.iter(|| codec::decode(&block, &context)));
    group.finish();
}

criterion_group!(stages, recover, execute, follow, root, commit, code);
criterion_main!(stages);
