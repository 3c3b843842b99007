//! DA service, sequencer and full node as processes of their own: each dies alone, the others go on.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use alloy_primitives::U256;
use causeway_node::devkeys;
use causeway_tests::crashing::{Crashing, STOPPED, ready, since, told};
use causeway_tests::drive::seeds;
use causeway_tests::load::{Load, Place, client};
use causeway_tests::posted::Posted;
use causeway_tests::process::{Process, free_port, signal};
use causeway_tests::txs::Rng;
use eyre::{WrapErr, ensure};
use jsonrpsee::core::client::ClientT;
use jsonrpsee::rpc_params;
use rustix::process::Signal;

use super::{kills, moment};

/// Faults in CI.
const FAULTS: u64 = 5;
/// Something goes on within this time once a fault is over.
const GOES_ON: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(10);

/// What runs by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Da,
    Sequencer,
    Full,
}

const PARTS: [Part; 3] = [Part::Da, Part::Sequencer, Part::Full];

/// One chain in three processes.
struct Apart {
    chain: Crashing,
    place: Place,
    ports: [u16; 3],
    running: [Option<Process>; 3],
}

impl Apart {
    fn new() -> eyre::Result<Self> {
        let chain = Crashing::new()?;
        let ports = [free_port()?, free_port()?, free_port()?];
        let url = |part: Part| format!("http://127.0.0.1:{}", ports[part as usize]);
        let place = Place {
            rpc: url(Part::Sequencer),
            full_rpc: url(Part::Full),
            da: url(Part::Da),
            identity: chain.spec()?.identity(),
        };
        for (name, key) in [
            ("da", devkeys::da()),
            ("sequencer", devkeys::sequencer()),
            ("poster", devkeys::poster()),
        ] {
            std::fs::write(key_file(chain.dir(), name), key.to_bytes().to_string())?;
        }
        Ok(Self { chain, place, ports, running: [None, None, None] })
    }

    /// Starts a part; returns once it serves, in time.
    async fn start(&mut self, part: Part) -> eyre::Result<()> {
        let started = Instant::now();
        let dir = self.chain.dir().to_owned();
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        let listen = format!("127.0.0.1:{}", self.ports[part as usize]);
        let spec = text(self.chain.chain_dir().join("chain.toml"));
        let data = text(dir.join(format!("{part:?}")));
        let [da, sequencer, poster] =
            ["da", "sequencer", "poster"].map(|name| text(key_file(&dir, name)));
        let feed = self.place.rpc.replace("http", "ws");
        let node = ["run", "--chain", &spec, "--datadir", &data, "--http", &listen];
        let node = [&node[..], &["--da-url", &self.place.da, "--log-filter", "warn"]].concat();
        let keys = ["--sequencer-key", &sequencer, "--poster-key", &poster];
        let arguments = match part {
            Part::Da => {
                let service = ["da", "--dir", &data, "--key", &da, "--listen", &listen];
                [&service[..], &["--interval-ms", "200"]].concat()
            }
            Part::Sequencer => [&node[..], &["--role", "sequencer"], &keys].concat(),
            Part::Full => [&node[..], &["--role", "full", "--sequencer", &feed]].concat(),
        };
        let mut process = Process::start(&arguments, &[], &dir.join(format!("{part:?}.log")))?;
        while !self.serves(part).await {
            let ended = process.ended()?;
            ensure!(ended.is_none(), "{part:?} ended with {ended:?}:\n{}", process.said());
            ensure!(started.elapsed() < ready(), "{part:?} does not serve:\n{}", process.said());
            tokio::time::sleep(LOOK).await;
        }
        self.chain.starts.push(started.elapsed());
        self.running[part as usize] = Some(process);
        Ok(())
    }

    async fn serves(&self, part: Part) -> bool {
        match part {
            Part::Da => match causeway_da::http::client(Duration::from_secs(5), false) {
                Ok(http) => http.get(format!("{}/v1/head", self.place.da)).send().await.is_ok(),
                Err(_) => false,
            },
            Part::Sequencer => head(&self.place.rpc, "latest").await.is_ok(),
            Part::Full => head(&self.place.full_rpc, "latest").await.is_ok(),
        }
    }

    fn take(&mut self, part: Part) -> Process {
        self.running[part as usize].take().expect("it runs between two faults")
    }

    /// One fault under load, and what must go on in spite of it and after it.
    async fn fault(&mut self, part: Part, freeze: bool, rng: &mut Rng) -> eyre::Result<()> {
        let load = Load::start(&self.place, &self.chain.witness);
        moment(rng, 100, 400).await;
        let before = self.chain.witness.acknowledged();
        let process = self.take(part);
        if freeze {
            signal(process.id(), Signal::STOP)?;
            moment(rng, 200, 1_000).await;
            signal(process.id(), Signal::CONT)?;
            self.running[part as usize] = Some(process);
        } else {
            process.kill()?;
            moment(rng, 50, 400).await;
            if part != Part::Sequencer {
                self.more_acknowledged(before).await?;
            }
            self.start(part).await?;
        }
        if freeze || part != Part::Sequencer {
            self.more_acknowledged(self.chain.witness.acknowledged()).await?;
        }
        for url in [&self.place.rpc, &self.place.full_rpc] {
            goes_on(url).await.wrap_err_with(|| format!("{part:?}, safe head of {url}"))?;
        }
        load.stop().await;
        self.chain.witness.still_true(&self.place).await?;
        Ok(())
    }

    async fn more_acknowledged(&self, before: usize) -> eyre::Result<()> {
        let started = Instant::now();
        while self.chain.witness.acknowledged() <= before {
            ensure!(started.elapsed() < GOES_ON, "nothing is acknowledged any more");
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    fn said(&self) -> String {
        let log = |part: Part| self.chain.dir().join(format!("{part:?}.log"));
        let said = PARTS.map(|part| std::fs::read_to_string(log(part)).unwrap_or_default());
        said.join("\n---\n")
    }
}

fn key_file(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.key"))
}

async fn head(url: &str, tag: &str) -> eyre::Result<u64> {
    let parameters = rpc_params![tag, false];
    let block: serde_json::Value = client(url)?.request("eth_getBlockByNumber", parameters).await?;
    Ok(serde_json::from_value::<U256>(block["number"].clone())?.to())
}

/// Waits until the safe head of a node has moved.
async fn goes_on(url: &str) -> eyre::Result<()> {
    let (started, before) = (Instant::now(), head(url, "safe").await?);
    while head(url, "safe").await? <= before {
        ensure!(started.elapsed() < GOES_ON, "it stays at {before}");
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_part_dies_alone() -> eyre::Result<()> {
    let (seed, wanted) = (seeds(1).start, kills(FAULTS));
    let (started, mut rng) = (Instant::now(), Rng::new(seed));
    let mut apart = Apart::new()?;
    for part in PARTS {
        apart.start(part).await?;
    }
    for number in 0..wanted {
        // Each of them in turn; the moments are random.
        let part = PARTS[(number % 3) as usize];
        let freeze = number % 5 == 4;
        let done = apart.fault(part, freeze, &mut rng).await;
        let what = || format!("seed {seed}, fault {number}: {part:?}\n{}", apart.said());
        done.wrap_err_with(what)?;
    }
    let proved = apart.chain.witness.all_true(&apart.place).await;
    proved.wrap_err_with(|| format!("seed {seed}\n{}", apart.said()))?;
    let posted = Posted::read(&*apart.chain.spec()?, &apart.place.da).await;
    let posted = posted.wrap_err_with(|| format!("seed {seed}\n{}", apart.said()))?.count();
    for part in [Part::Full, Part::Sequencer, Part::Da] {
        let (status, after) = apart.take(part).stop()?;
        ensure!(status.success() && after < STOPPED, "{part:?} {status} after {after:?}");
    }
    let acknowledged = apart.chain.witness.acknowledged();
    println!(
        "seed {seed}: {wanted} faults in {:?}, {acknowledged} transactions, {posted} blocks posted, {}",
        since(started),
        told(&apart.chain.starts)
    );
    Ok(())
}
