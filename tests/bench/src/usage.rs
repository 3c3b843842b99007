//! What a process uses: CPU time, memory, disk; read from /proc.

use std::path::Path;
use std::time::Duration;

use eyre::{ContextCompat, WrapErr};

/// What a process has used so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// User and kernel time of all its threads, to 10 ms.
    pub cpu: Duration,
    /// Resident memory, bytes.
    pub rss: u64,
    /// The most it was, bytes.
    pub peak_rss: u64,
}

impl Usage {
    /// Of a running process.
    pub fn of(id: u32) -> eyre::Result<Self> {
        let read = |name: &str| {
            let path = format!("/proc/{id}/{name}");
            std::fs::read_to_string(&path).wrap_err(path)
        };
        let ticks = rustix::param::clock_ticks_per_second();
        parse(&read("stat")?, &read("status")?, ticks).wrap_err("/proc is not what it should be")
    }
}

fn parse(stat: &str, status: &str, ticks: u64) -> Option<Usage> {
    // The name in brackets may hold anything; field 3 comes behind it.
    let fields: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks_used: u64 =
        fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    let bytes = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib << 10)
    };
    let cpu = Duration::from_secs_f64(ticks_used as f64 / ticks as f64);
    Some(Usage { cpu, rss: bytes("VmRSS:")?, peak_rss: bytes("VmHWM:")? })
}

/// Bytes that the files below a directory take on the disk.
pub fn disk_bytes(dir: &Path) -> eyre::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir).wrap_err_with(|| dir.display().to_string())? {
        // What a running process removes meanwhile takes nothing.
        let Ok(entry) = entry else { continue };
        let Ok(found) = entry.metadata() else { continue };
        bytes += if found.is_dir() { disk_bytes(&entry.path())? } else { found.blocks() * 512 };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_moves_no_field() {
        let stat = "7 (a) b) S 1 1 1 0 -1 4 5 0 0 0 150 50 0 0 20 0 3 0 9 9 9";
        let status = "Name:\ta\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        let usage = parse(stat, status, 100).unwrap();
        let cpu = Duration::from_secs(2);
        assert_eq!(usage, Usage { cpu, rss: 1 << 20, peak_rss: 2 << 20 });
        assert_eq!(parse("7 (a", status, 100), None);
    }

    #[test]
    fn this_process_uses_something() {
        let usage = Usage::of(std::process::id()).unwrap();
        assert!(usage.rss > 1 << 20 && usage.peak_rss >= usage.rss);
        let dir = tempfile::TempDir::new().unwrap();
        std::fs::create_dir(dir.path().join("inner")).unwrap();
        std::fs::write(dir.path().join("inner/file"), vec![7; 10_000]).unwrap();
        assert!(disk_bytes(dir.path()).unwrap() >= 10_000);
    }
}
