//! The `causeway` binary.

#[cfg(feature = "crash-points")]
mod crash;

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    #[cfg(feature = "crash-points")]
    if let Err(error) = crash::from_environment() {
        eprintln!("error: {error:#}");
        return ExitCode::from(causeway_node::exit::Exit::Failure as u8);
    }
    match causeway_node::cli::Cli::parse().run() {
        Ok(exit) => ExitCode::from(exit as u8),
        Err(error) => {
            eprintln!("error: {:#}", error.report);
            ExitCode::from(error.exit as u8)
        }
    }
}
