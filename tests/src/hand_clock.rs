//! A clock that only a test turns.

use std::pin::Pin;

use causeway_chainspec::Clock;
use tokio::sync::watch;

/// Time in unix ms; starts where it is told and moves when it is told.
#[derive(Debug)]
pub struct HandClock(watch::Sender<u64>);

impl HandClock {
    /// A clock that reads `now_ms`.
    pub fn new(now_ms: u64) -> Self {
        Self(watch::Sender::new(now_ms))
    }

    /// Turns it on by some ms.
    pub fn advance(&self, ms: u64) {
        self.0.send_modify(|now| *now += ms);
    }
}

impl Clock for HandClock {
    fn now_ms(&self) -> u64 {
        *self.0.borrow()
    }

    fn sleep_until(&self, time_ms: u64) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let mut now = self.0.subscribe();
        Box::pin(async move {
            now.wait_for(|now| *now >= time_ms).await.expect("the clock holds its sender");
        })
    }
}
