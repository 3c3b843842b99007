//! The integration tests, in one binary.

mod e2e;
mod kill;
mod seams;
mod tidy;
