//! The command line.

pub mod chainspec;
pub mod new;
