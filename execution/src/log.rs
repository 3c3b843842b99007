//! The durable log: everything a node must not forget, in order, before it acts on it.
