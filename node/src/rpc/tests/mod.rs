//! Tests of the RPC over real sockets.

mod errors;
mod fake;
mod limits;
mod methods;
mod objects;
mod subscriptions;
mod wire;
