//! What the process does at its crash points, from the environment. Only in the tests' binary.
//!
//! `CAUSEWAY_CRASH_AT=name:count[:kill|panic|block]` acts when the point is reached the count-th
//! time: SIGKILL, a panic, or the thread stays there for ever. `CAUSEWAY_CRASH_TRACE=file` appends
//! the name of a point when it is reached first, and whenever the count has doubled.
//! `CAUSEWAY_CRASH_SEGMENT=bytes` makes the log's segments small.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use causeway_chainspec::crash::{Hook, POINTS, arm};
use eyre::{OptionExt, WrapErr, bail, ensure};
use rustix::process::{Signal, getpid, kill_process};

enum Act {
    Kill,
    Panic,
    Block,
}

struct Trap {
    name: String,
    count: u64,
    act: Act,
}

/// Arms the process as the environment says.
pub(crate) fn from_environment() -> eyre::Result<()> {
    let trap =
        std::env::var("CAUSEWAY_CRASH_AT").ok().map(|text| Trap::parse(&text)).transpose()?;
    let segment = std::env::var("CAUSEWAY_CRASH_SEGMENT").ok();
    let log_segment_bytes =
        segment.map(|text| text.parse()).transpose().wrap_err("CAUSEWAY_CRASH_SEGMENT")?;
    let trace = std::env::var_os("CAUSEWAY_CRASH_TRACE")
        .map(|path| File::options().create(true).append(true).open(path))
        .transpose()
        .wrap_err("CAUSEWAY_CRASH_TRACE")?;
    if trap.is_none() && trace.is_none() && log_segment_bytes.is_none() {
        return Ok(());
    }
    let hits = Mutex::new(HashMap::<&str, u64>::new());
    let at = Box::new(move |name: &'static str| {
        let count = {
            let mut hits = hits.lock().unwrap_or_else(PoisonError::into_inner);
            let count = hits.entry(name).or_default();
            *count += 1;
            *count
        };
        if let Some(mut file) = trace.as_ref().filter(|_| count.is_power_of_two()) {
            // In one piece: other threads write, too.
            file.write_all(format!("{name}\n").as_bytes()).expect("the trace can be written");
        }
        if let Some(trap) = trap.as_ref().filter(|trap| trap.name == name && trap.count == count) {
            trap.spring();
        }
    });
    arm(Hook { at, log_segment_bytes });
    Ok(())
}

impl Trap {
    fn parse(text: &str) -> eyre::Result<Self> {
        let mut parts = text.split(':');
        let name = parts.next().unwrap_or_default().to_owned();
        ensure!(POINTS.contains(&name.as_str()), "CAUSEWAY_CRASH_AT: no point named {name:?}");
        let count = parts.next().ok_or_eyre("CAUSEWAY_CRASH_AT: name:count")?.parse()?;
        let act = match parts.next() {
            None | Some("kill") => Act::Kill,
            Some("panic") => Act::Panic,
            Some("block") => Act::Block,
            Some(other) => bail!("CAUSEWAY_CRASH_AT: {other:?} is not kill, panic or block"),
        };
        Ok(Self { name, count, act })
    }

    fn spring(&self) {
        match self.act {
            Act::Panic => panic!("crash point {}", self.name),
            Act::Kill => kill_process(getpid(), Signal::KILL).expect("a process may kill itself"),
            Act::Block => {}
        }
        // SIGKILL may take a moment to arrive; nothing may happen behind the point.
        loop {
            std::thread::park();
        }
    }
}
