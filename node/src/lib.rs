//! The node: wiring, and everything people touch.

pub mod rpc;
