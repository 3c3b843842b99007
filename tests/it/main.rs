//! The integration tests, in one binary.

mod agreement;
mod bad_da;
mod e2e;
mod fork_choice;
mod modules;
mod reorgs;
mod spans;
mod kill;
mod seams;
mod tidy;
