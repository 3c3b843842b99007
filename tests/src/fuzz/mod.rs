//! Fuzz targets: one function for each decoder that strangers feed. libFuzzer runs them
//! (`tests/fuzz`), and so does the CI, on the inputs kept in `tests/fuzz/corpus` and on mutations.
//!
//! A target panics when its decoder is wrong. "Wrong" is more than a panic of the decoder: two
//! byte strings with one reading where hashes are taken of bytes, more output than a cap allows,
//! an answer that is no answer of the protocol.

mod blobs;
mod da;
mod ethereum;
mod files;
mod http;
mod lab;
pub mod mutate;
mod rpc;
mod specs;
mod texts;
mod values;
mod vm;

use std::path::{Path, PathBuf};

/// Most seeds of a target among its kept inputs.
const KEPT_SEEDS: usize = 64;
/// Most bytes of each.
const KEPT_BYTES: usize = 2500;

/// One decoder under test.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Name: of the binary in `tests/fuzz`, and of the folder of kept inputs.
    pub name: &'static str,
    /// Feeds the decoder, and panics if it is wrong. The same bytes give the same verdict.
    pub run: fn(&[u8]),
    /// Inputs to begin with, made by our own encoders.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Words of its language, to put into inputs; empty for binary formats.
    pub words: &'static [&'static str],
    /// Largest input, bytes.
    pub most_bytes: usize,
    /// Mutated inputs a CI run gives it: about a second's worth.
    pub cases: u64,
}

/// Every target. To add one: a function, and a line here and in `tests/fuzz/Cargo.toml`.
pub const TARGETS: &[Target] = &[
    binary("span", blobs::span, blobs::span_seeds, 8192, 30_000),
    binary("payload", blobs::payload, blobs::payload_seeds, 8192, 9_000),
    binary("blobs", blobs::blobs, blobs::blobs_seeds, 8192, 6_000),
    binary("claim", values::claim, values::claim_seeds, 8192, 30_000),
    binary("seal", values::seal, values::seal_seeds, 4096, 30_000),
    binary("body", values::body, values::body_seeds, 8192, 30_000),
    binary("message", values::message, values::message_seeds, 4096, 30_000),
    binary("forced", values::forced, values::forced_seeds, 4096, 30_000),
    binary("tx", values::tx, values::tx_seeds, 4096, 9_000),
    binary("feed", values::feed, values::feed_seeds, 8192, 30_000),
    binary("record", values::record, values::record_seeds, 8192, 30_000),
    binary("da_block", da::block, da::block_seeds, 8192, 15_000),
    text("da_json", da::json, da::json_seeds, texts::DA, 4096, 30_000),
    binary("da_submit", da::submit, da::submit_seeds, 4096, 30_000),
    binary("block_file", files::blocks, files::blocks_seeds, 8192, 30_000),
    binary("log_file", files::log, files::log_seeds, 4096, 900),
    binary("da_file", files::da, files::da_seeds, 4096, 900),
    text("chain_spec", specs::chain, specs::chain_seeds, texts::SPEC, 8192, 600),
    text("network", specs::network, specs::network_seeds, texts::SPEC, 8192, 900),
    text("lock", specs::lock, specs::lock_seeds, texts::SPEC, 2048, 9_000),
    text("units", specs::units, specs::units_seeds, texts::UNITS, 256, 30_000),
    text("alloc", specs::alloc, specs::alloc_seeds, texts::ALLOC, 4096, 900),
    text("node_file", specs::node_file, specs::node_file_seeds, texts::NODE, 4096, 9_000),
    text("genesis", ethereum::genesis, ethereum::genesis_seeds, texts::GENESIS, 8192, 9_000),
    binary("ethereum_block", ethereum::block, ethereum::block_seeds, 8192, 15_000),
    text("http", http::connection, http::connection_seeds, texts::HTTP, 4096, 2_000),
    text("rpc", rpc::request, rpc::request_seeds, texts::RPC, 4096, 6_000),
    binary("mailbox", vm::mailbox, vm::mailbox_seeds, 2048, 3_000),
];

const fn binary(
    name: &'static str,
    run: fn(&[u8]),
    seeds: fn() -> Vec<Vec<u8>>,
    most_bytes: usize,
    cases: u64,
) -> Target {
    Target { name, run, seeds, words: &[], most_bytes, cases }
}

const fn text(
    name: &'static str,
    run: fn(&[u8]),
    seeds: fn() -> Vec<Vec<u8>>,
    words: &'static [&'static str],
    most_bytes: usize,
    cases: u64,
) -> Target {
    Target { name, run, seeds, words, most_bytes, cases }
}

/// The target of a name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

impl Target {
    /// Folder of its kept inputs.
    pub fn folder(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(self.name)
    }

    /// Writes its seeds among the kept inputs, each named by its hash, and its words as libFuzzer
    /// reads them.
    pub fn keep_seeds(&self) -> std::io::Result<()> {
        std::fs::create_dir_all(self.folder())?;
        if !self.words.is_empty() {
            let entry = |byte: u8| format!("\\x{byte:02x}");
            let line =
                |word: &&str| format!("\"{}\"\n", word.bytes().map(entry).collect::<String>());
            let folder = self.folder().join("../../dict");
            std::fs::create_dir_all(&folder)?;
            let lines: String = self.words.iter().map(line).collect();
            std::fs::write(folder.join(self.name), lines)?;
        }
        let mut seeds = (self.seeds)();
        // Few and short, so that they may lie in the repository: the rest is made anew each time.
        seeds.retain(|seed| seed.len() <= self.most_bytes.min(KEPT_BYTES));
        seeds.sort_by_key(Vec::len);
        seeds.dedup();
        for seed in seeds.iter().step_by(seeds.len().div_ceil(KEPT_SEEDS).max(1)) {
            let name = alloy_primitives::hex::encode(&alloy_primitives::keccak256(seed)[..8]);
            std::fs::write(self.folder().join(name), seed)?;
        }
        Ok(())
    }

    /// The kept inputs, by file name.
    pub fn kept(&self) -> Vec<(String, Vec<u8>)> {
        let Ok(entries) = std::fs::read_dir(self.folder()) else { return Vec::new() };
        let mut found: Vec<_> = entries
            .map(|entry| entry.expect("a folder of inputs is readable"))
            .map(|entry| {
                let bytes = std::fs::read(entry.path()).expect("a kept input is readable");
                (entry.file_name().to_string_lossy().into_owned(), bytes)
            })
            .collect();
        found.sort();
        found
    }
}
