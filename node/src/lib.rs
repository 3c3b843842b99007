//! Wiring, and what people touch: the node, its command line and its JSON-RPC.

pub mod cli;
