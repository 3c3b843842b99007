//! Followers see what is final, and judge what is said of it.
