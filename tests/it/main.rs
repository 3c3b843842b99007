//! The integration tests, in one binary.

mod agreement;
mod e2e;
mod kill;
mod seams;
mod tidy;
