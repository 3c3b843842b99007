//! The integration tests, in one binary.

#![allow(clippy::unwrap_used, reason = "a test that unwraps wrongly fails, as it should")]

mod admin;
mod agreement;
mod bad_da;
mod contracts;
mod crash;
mod crash_points;
mod crossing;
mod dev_accounts;
mod devnets;
mod differential;
mod e2e;
mod ethereum;
mod fork_choice;
mod fuzz;
mod halted;
mod hostile;
mod kill;
mod l1;
mod mailbox;
mod mesh;
mod metrics;
mod modules;
mod parent_chain;
mod remotes;
mod reorgs;
mod seams;
mod sim;
mod spans;
mod tidy;
mod unwind;
mod web3py;
