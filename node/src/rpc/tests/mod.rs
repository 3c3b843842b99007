//! Tests of the RPC over real sockets.
