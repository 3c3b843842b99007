//! The one integration binary.

mod seams;
