//! `causeway-bench`: measures the node beside it against its peers and its limits, on this machine.

// `pub` says what a module offers to the others; a program offers nothing.
#![allow(unreachable_pub)]

mod bench;
mod contracts;
mod http;
mod limits;
mod load;
mod made;
mod node;
mod peers;
mod process;
mod raw;
mod read;
mod report;
mod rpc;
mod sign;
mod usage;
mod verify;
mod workloads;
mod ws;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use bench::{Bench, Size};
use report::Report;
use workloads::WORKLOADS;

/// Measures the node against its peers and its limits
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    args: Measure,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A JSON-RPC server that decodes transactions and recovers their senders, and no more
    #[command(hide = true)]
    Limit,
}

#[derive(Debug, Args)]
struct Measure {
    /// What to measure; everything if nothing is named
    workloads: Vec<String>,
    /// Interleaved pairs of runs; 5 at full size, else 1
    #[arg(long)]
    pairs: Option<usize>,
    /// How much
    #[arg(long, value_enum, default_value = "full")]
    size: Size,
    /// Where the report goes, as report.json, report.html and report.txt
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
    /// Print the names of all workloads
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Some(Command::Limit) => peers::limit::serve().map(|()| true),
        None => cli.args.run(),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

impl Measure {
    /// Runs what is asked for; whether every run gave its figure.
    fn run(self) -> eyre::Result<bool> {
        if self.list {
            WORKLOADS.iter().for_each(|(name, _)| println!("{name}"));
            return Ok(true);
        }
        let chosen = workloads::choose(&self.workloads)?;
        let pairs = self.pairs.unwrap_or(self.size.pairs()).max(1);
        let bench = Bench::open(self.size, pairs)?;
        let mut report = Report { facts: bench.facts(), sections: Vec::new() };
        for (name, run) in chosen {
            eprintln!("{name} ...");
            let section = workloads::measured(name, run, &bench);
            report.sections.push(section);
            // After each: a long run that is stopped leaves what it has.
            report.write(&self.out)?;
        }
        print!("{}", report.table());
        println!("\nreport: {}", self.out.join("report.html").display());
        Ok(report.is_whole())
    }
}
