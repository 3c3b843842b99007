//! An in-memory layer with injectable faults, for tests.
