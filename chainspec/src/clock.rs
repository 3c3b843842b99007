//! Time as an argument: only the node reads the real clock, tests turn theirs by hand.

use std::future::Future;
use std::pin::Pin;

/// A clock in unix milliseconds.
pub trait Clock: Send + Sync + 'static {
    /// Now. May jump either way; users of it keep their own order.
    fn now_ms(&self) -> u64;
    /// Completes once `now_ms() >= time_ms`. Cancel safe.
    fn sleep_until(&self, time_ms: u64) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}
