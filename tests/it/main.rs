//! The integration tests, in one binary.

mod agreement;
mod e2e;
mod fork_choice;
mod kill;
mod seams;
mod tidy;
