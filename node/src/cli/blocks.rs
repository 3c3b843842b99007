//! `causeway export` and `causeway import`: blocks in a file, executed again on the way in.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::PathBuf;

use alloy_primitives::B256;
use alloy_rlp::{Decodable, RlpDecodable, RlpEncodable};
use causeway_chainspec::{BlockBody, BlockPlan, Claim, ForcedEntry, Seal};
use causeway_execution::Pipeline;
use clap::Args;
use eyre::{WrapErr, bail, ensure, eyre};
use indicatif::{ProgressBar, ProgressStyle};

use super::db::Datadir;
use super::ethereum::Ethereum;
use crate::exit::{CommandResult, Exit};

/// First bytes of a file of blocks: name, version; the chain identity follows.
const MAGIC: &[u8] = b"causeway-blocks/1\n";

/// Largest block a file may hold, in bytes.
const MOST_BYTES: u32 = 256 * 1024 * 1024;

/// One block of the file: u32 big-endian length, then this in RLP.
#[derive(Debug, Clone, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct FileBlock {
    /// Its claim.
    pub claim: Claim,
    /// What the claim commits to.
    pub body: BlockBody,
    /// Forced entries it takes.
    pub forced: Vec<ForcedEntry>,
    /// None or one.
    pub seal: Vec<Seal>,
    /// Header hash.
    pub hash: B256,
}

/// Write blocks to a file.
#[derive(Debug, Args)]
pub struct Export {
    #[command(flatten)]
    datadir: Datadir,
    /// First block.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Last block; the newest if left out.
    #[arg(long)]
    to: Option<u64>,
    /// File to write.
    file: PathBuf,
}

/// Execute and commit blocks from a file: our own, or those of an Ethereum chain.
#[derive(Debug, Args)]
pub struct Import {
    #[command(flatten)]
    datadir: Datadir,
    #[command(flatten)]
    ethereum: Ethereum,
    /// File to read.
    file: PathBuf,
}

fn progress(blocks: u64) -> eyre::Result<ProgressBar> {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} blocks  {per_sec}  {eta} left")?;
    Ok(ProgressBar::new(blocks).with_style(style))
}

impl Export {
    /// Runs the command.
    pub fn run(self) -> CommandResult {
        let (spec, pipeline) = self.datadir.open()?;
        let snapshot = pipeline.snapshot();
        let latest = snapshot.latest().number;
        let to = self.to.unwrap_or(latest);
        if to > latest || self.from > to {
            return Err(eyre!(
                "blocks {} to {to} are not there: the newest is {latest}",
                self.from
            )
            .into());
        }
        let mut file = BufWriter::new(
            File::create(&self.file)
                .wrap_err_with(|| format!("cannot write {}", self.file.display()))?,
        );
        file.write_all(MAGIC)?;
        file.write_all(spec.identity().as_slice())?;
        let bar = progress(to - self.from + 1)?;
        for number in self.from..=to {
            let block =
                snapshot.block(number)?.ok_or_else(|| eyre!("block {number} is missing"))?;
            let record = alloy_rlp::encode(FileBlock {
                claim: block.plan.claim.clone(),
                body: block.plan.body.clone(),
                forced: block.plan.forced.clone(),
                seal: snapshot.seal(number)?.into_iter().collect(),
                hash: block.hash,
            });
            file.write_all(&u32::try_from(record.len())?.to_be_bytes())?;
            file.write_all(&record)?;
            bar.inc(1);
        }
        file.flush()?;
        bar.finish();
        pipeline.close()?;
        Ok(Exit::Success)
    }
}

impl Import {
    /// Runs the command.
    pub fn run(self) -> CommandResult {
        let file = File::open(&self.file)
            .wrap_err_with(|| format!("cannot read {}", self.file.display()))?;
        if self.ethereum.is_wanted() {
            return self.ethereum.run(&self.datadir.datadir, file);
        }
        let size = file.metadata()?.len();
        let mut file = BufReader::new(file);
        let (spec, pipeline) = self.datadir.open()?;
        let mut head = vec![0; MAGIC.len() + 32];
        file.read_exact(&mut head).wrap_err("the file is too short to hold blocks")?;
        if &head[..MAGIC.len()] != MAGIC {
            return Err(eyre!("{} is no file of blocks", self.file.display()).into());
        }
        if head[MAGIC.len()..] != *spec.identity() {
            let theirs = B256::from_slice(&head[MAGIC.len()..]);
            let report = eyre!("the file is of chain {theirs}, the spec of {}", spec.identity());
            return Err(report.into());
        }
        let bar = progress(size)?;
        let mut imported = 0;
        while let Some(record) = read_record(&mut file)? {
            bar.inc(record.len() as u64 + 4);
            imported += u64::from(import(&pipeline, &record)?);
        }
        bar.finish();
        pipeline.close()?;
        println!("imported {imported} blocks");
        Ok(Exit::Success)
    }
}

/// The next block of a file as bytes, read no further than the file goes; `None` at its end.
pub fn read_record(file: &mut impl Read) -> eyre::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match file.read_exact(&mut length) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    let length = u32::from_be_bytes(length);
    if length > MOST_BYTES {
        bail!("the file is damaged: a block of {length} bytes");
    }
    let mut record = Vec::new();
    file.take(u64::from(length)).read_to_end(&mut record)?;
    if record.len() != length as usize {
        bail!("the file ends in the middle of a block; what came before is imported");
    }
    Ok(Some(record))
}

/// Executes and commits one block; false if the datadir has it already.
fn import(pipeline: &Pipeline, record: &[u8]) -> eyre::Result<bool> {
    let mut rest = record;
    let block = FileBlock::decode(&mut rest).wrap_err("the file is damaged")?;
    ensure!(rest.is_empty(), "the file is damaged: bytes behind block {}", block.claim.number);
    let snapshot = pipeline.snapshot();
    let number = block.claim.number;
    if let Some(id) = snapshot.id(number)? {
        if id.hash == block.hash {
            return Ok(false);
        }
        bail!("block {number} is {} here and {} in the file", id.hash, block.hash);
    }
    let plan = BlockPlan::new(block.claim, block.body, block.forced, &|_| None);
    let executed = pipeline.execute(plan)?;
    if executed.hash != block.hash {
        bail!("block {number} executes to {}, the file says {}", executed.hash, block.hash);
    }
    pipeline.commit(executed.claim_hash, block.seal.into_iter().next(), None)?;
    Ok(true)
}
