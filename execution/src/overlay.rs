//! Executed blocks that are not in the store yet, over a view of it.
