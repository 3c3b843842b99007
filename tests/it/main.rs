//! The integration tests, in one binary.

mod agreement;
mod bad_da;
mod e2e;
mod fork_choice;
mod kill;
mod modules;
mod reorgs;
mod seams;
mod spans;
mod tidy;
