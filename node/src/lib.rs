//! Wiring, and what people touch: the node, its command line and its JSON-RPC.

mod bounded;
pub mod cli;
pub mod clock;
pub mod config;
pub mod devkeys;
pub mod exit;
pub mod import;
pub mod logging;
pub mod metrics;
pub mod node;
pub mod remote;
pub mod rpc;
pub mod tasks;
pub mod version;
