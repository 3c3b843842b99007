//! The `causeway` binary.

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match causeway_node::cli::Cli::parse().run() {
        Ok(exit) => ExitCode::from(exit as u8),
        Err(error) => {
            eprintln!("error: {:#}", error.report);
            ExitCode::from(error.exit as u8)
        }
    }
}
