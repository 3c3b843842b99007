//! A devnet on one directory that is started over and over, and what every start must show.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use causeway_chainspec::spec::presets::{Keys, Template};
use causeway_chainspec::{ChainSpec, Clock};
use causeway_node::clock::SystemClock;
use eyre::{ContextCompat, ensure};
use tempfile::TempDir;

use crate::load::{Place, Witness};
use crate::posted::Posted;
use crate::process::{Begun, Devnet, Environment};

/// A start serves within this time, whatever happened before: 5 s in a campaign; in the CI, where
/// other tests have the cores, only an end to waiting.
pub fn ready() -> Duration {
    let campaign = ["CAUSEWAY_KILLS", "CAUSEWAY_CASES"].map(std::env::var_os);
    Duration::from_secs(if campaign.iter().any(Option::is_some) { 5 } else { 30 })
}

/// A stop under load ends within this time.
pub const STOPPED: Duration = Duration::from_secs(10);

/// Name of the first chain, and of its directory.
const CHAIN: &str = "alpha";

/// The devnet.
pub struct Crashing {
    /// What its users were told.
    pub witness: Witness,
    /// How long each start took.
    pub starts: Vec<Duration>,
    dir: PathBuf,
    arguments: &'static [&'static str],
    _temp: TempDir,
}

impl Crashing {
    /// A new chain with a block every 20 ms and a DA block every 200 ms.
    pub fn new() -> eyre::Result<Self> {
        let chain = Self::with(&[])?;
        let folder = chain.dir.join(CHAIN);
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("chain.toml"), quick_spec())?;
        Ok(chain)
    }

    /// The devnet that these arguments ask for.
    pub fn with(arguments: &'static [&'static str]) -> eyre::Result<Self> {
        let temp = TempDir::new()?;
        let dir = temp.path().join("devnet");
        let (witness, starts) = Default::default();
        Ok(Self { witness, starts, dir, arguments, _temp: temp })
    }

    /// Directory of the devnet.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Directory of the first chain.
    pub fn chain_dir(&self) -> PathBuf {
        self.dir.join(CHAIN)
    }

    /// The spec of the first chain, once it was started.
    pub fn spec(&self) -> eyre::Result<Arc<ChainSpec>> {
        let (spec, _) = causeway_node::cli::chainspec::load(&self.chain_dir().join("chain.toml"))?;
        Ok(Arc::new(spec))
    }

    /// Starts the devnet; it may end before it is ready.
    pub fn begin(&self, environment: Environment<'_>) -> eyre::Result<Begun> {
        Devnet::begin(&self.dir, self.asked(), environment)
    }

    /// What a first start is asked for, and a later one is not.
    pub fn asked(&self) -> &'static [&'static str] {
        if self.chain_dir().join("chain.toml").exists() { &[] } else { self.arguments }
    }

    /// Starts the devnet, in time.
    pub fn start(&mut self) -> eyre::Result<Devnet> {
        let Begun::Ready(devnet) = self.begin(&[])? else {
            eyre::bail!("it does not start again:\n{}", self.said());
        };
        ensure!(devnet.ready_after < ready(), "ready after {:?}", devnet.ready_after);
        self.starts.push(devnet.ready_after);
        Ok(devnet)
    }

    /// Starts it again after a crash: what users were told is still true.
    pub async fn recover(&mut self) -> eyre::Result<(Devnet, Place)> {
        let devnet = self.start()?;
        let place = self.place(&devnet)?;
        self.witness.still_true(&place).await?;
        Ok((devnet, place))
    }

    /// Where the first chain is reached.
    pub fn place(&self, devnet: &Devnet) -> eyre::Result<Place> {
        let [rpc, full_rpc, da] = ["rpc", "full_rpc", "da"].map(|name| devnet.endpoint(name));
        Ok(Place { rpc, full_rpc, da, identity: self.spec()?.identity() })
    }

    /// Everything is in a block and the same on both nodes, and again once the full node has lost
    /// all it had and has read the DA layer from the beginning. Stops under way are clean.
    pub async fn prove(&mut self) -> eyre::Result<()> {
        let (devnet, place) = self.recover().await?;
        self.witness.all_true(&place).await?;
        stopped(devnet)?;
        std::fs::remove_dir_all(self.chain_dir().join("full"))?;
        let devnet = self.start()?;
        let place = self.place(&devnet)?;
        self.witness.all_true(&place).await?;
        stopped(devnet)
    }

    /// [`Crashing::prove`] of a chain that no rival posted for and whose DA layer lost nothing: its
    /// sequencer posted no block twice in one term, either. Returns how many blocks it posted.
    pub async fn prove_posted_once(&mut self) -> eyre::Result<usize> {
        let (devnet, place) = self.recover().await?;
        let posted = Posted::read(&*self.spec()?, &place.da).await?.count();
        stopped(devnet)?;
        self.prove().await?;
        Ok(posted)
    }

    /// What its processes said.
    pub fn said(&self) -> String {
        std::fs::read_to_string(self.dir.with_extension("log")).unwrap_or_default()
    }

    /// Takes the newest block from the DA service's files, as if its machine had been put back.
    pub fn put_da_back(&self) -> eyre::Result<()> {
        let mut files: Vec<_> = std::fs::read_dir(self.chain_dir().join("da"))?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()?;
        files.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
        files.sort();
        let path = files.last().context("the service has a file")?;
        let bytes = std::fs::read(path)?;
        // A frame: magic, length (little-endian) and checksum, 4 bytes each, then so many bytes.
        let (mut last, mut next) = (0, 0);
        while let Some(length) = bytes.get(next + 4..next + 8) {
            let end = next + 12 + u32::from_le_bytes(length.try_into()?) as usize;
            if end > bytes.len() {
                break;
            }
            (last, next) = (next, end);
        }
        std::fs::write(path, &bytes[..last])?;
        self.witness.da_was_put_back();
        Ok(())
    }
}

/// SIGTERM: it ends in time and says that all is well.
pub fn stopped(devnet: Devnet) -> eyre::Result<()> {
    let (status, after) = devnet.stop()?;
    ensure!(status.success() && after < STOPPED, "the devnet ended with {status} after {after:?}");
    Ok(())
}

/// A devnet's spec with short times.
fn quick_spec() -> String {
    let now_ms = SystemClock.now_ms() / 1000 * 1000;
    let mut template = Template::devnet(CHAIN, 901, "evm", Keys::DEV, now_ms);
    template.block_time = "20ms".to_owned();
    let text = template.to_toml();
    let quick = text
        .replace("interval = \"1s\"", "interval = \"200ms\"")
        .replace("drift = \"1m\"", "drift = \"2s\"")
        .replace("forced_delay = \"1m\"", "forced_delay = \"2s\"");
    assert!(!quick.contains("\"1s\"") && !quick.contains("\"1m\""), "a spec has other times");
    quick
}

/// The longest of some starts.
pub fn longest(starts: &[Duration]) -> Duration {
    starts.iter().max().copied().unwrap_or_default()
}

/// Median and longest of some starts, for people.
pub fn told(starts: &[Duration]) -> String {
    let mut sorted = starts.to_vec();
    sorted.sort_unstable();
    let median = sorted.get(sorted.len() / 2).copied().unwrap_or_default();
    format!("{} starts, median {median:?}, longest {:?}", sorted.len(), longest(starts))
}

/// Time since a moment, without its fractions of milliseconds.
pub fn since(started: Instant) -> Duration {
    Duration::from_millis(started.elapsed().as_millis() as u64)
}
