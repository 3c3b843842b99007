//! A clock turned by hand.

use std::future::Future;
use std::pin::Pin;

use causeway_chainspec::Clock;
use tokio::sync::watch;

/// Time stands still until a test moves it.
#[derive(Debug)]
pub struct ManualClock(watch::Sender<u64>);

impl ManualClock {
    /// A clock that shows `now_ms`.
    pub fn new(now_ms: u64) -> Self {
        Self(watch::Sender::new(now_ms))
    }

    /// Moves time forward.
    pub fn advance(&self, ms: u64) {
        self.0.send_modify(|now| *now += ms);
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> u64 {
        *self.0.borrow()
    }

    fn sleep_until(&self, time_ms: u64) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let mut now = self.0.subscribe();
        Box::pin(async move {
            // The sender lives in `self`, which outlives this future.
            let _reached = now.wait_for(|now| *now >= time_ms).await;
        })
    }
}
