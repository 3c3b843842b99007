//! Tests of the RPC over real sockets.

mod admin;
mod conditional;
mod dev_accounts;
mod errors;
pub(crate) mod fake;
mod fake_vm;
mod http;
mod limits;
mod methods;
mod objects;
mod openrpc;
mod ots;
mod real;
mod simulations;
mod subscriptions;
mod traces;
mod wire;
