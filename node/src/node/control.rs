//! What an operator may tell the loops of a running node. Nothing of it is kept: after a restart
//! every loop runs.

use causeway_chainspec::{BlockId, DaRef};
use tokio::sync::{Notify, watch};

/// Whether a loop runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoopState {
    /// It does, or is about to.
    Running,
    /// It was told to stop, and ends what it began.
    Stopping,
    /// It does nothing until it is started.
    Stopped,
}

impl LoopState {
    /// The word that JSON-RPC says.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
        }
    }
}

/// Stops and starts a loop. Both may be said again.
#[derive(Debug)]
pub struct Switch {
    wanted: watch::Sender<bool>,
    busy: watch::Sender<bool>,
}

impl Default for Switch {
    fn default() -> Self {
        Self { wanted: watch::Sender::new(true), busy: watch::Sender::new(false) }
    }
}

impl Switch {
    /// The loop goes on.
    pub fn start(&self) {
        self.wanted.send_replace(true);
    }

    /// The loop ends what it began, and stops.
    pub fn stop(&self) {
        self.wanted.send_replace(false);
    }

    /// Where the loop is.
    pub fn state(&self) -> LoopState {
        match (self.is_on(), *self.busy.borrow()) {
            (true, _) => LoopState::Running,
            (false, true) => LoopState::Stopping,
            (false, false) => LoopState::Stopped,
        }
    }

    /// Completes when the loop stands still.
    pub async fn stopped(&self) {
        // The sender lives as long as `self`.
        let _ = self.busy.subscribe().wait_for(|busy| !busy).await;
    }

    /// Whether the loop should run.
    pub(crate) fn is_on(&self) -> bool {
        *self.wanted.borrow()
    }

    /// Completes when the loop should run, or should not.
    pub(crate) async fn turned(&self, on: bool) {
        let _ = self.wanted.subscribe().wait_for(|wanted| *wanted == on).await;
    }

    /// The loop works until the guard is dropped.
    pub(crate) fn busy(&self) -> Busy<'_> {
        self.busy.send_replace(true);
        Busy(self)
    }
}

/// See [`Switch::busy`].
pub(crate) struct Busy<'a>(&'a Switch);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.busy.send_replace(false);
    }
}

/// What was posted last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Posted {
    /// The last block of the span.
    pub last: BlockId,
    /// The DA block that it is expected in.
    pub da: DaRef,
}

/// The loop that posts blocks to DA.
#[derive(Debug)]
pub struct Publisher {
    /// Stops and starts it.
    pub switch: Switch,
    hurry: Notify,
    posted: watch::Sender<Option<Posted>>,
}

impl Publisher {
    /// It looks at once for what there is to post.
    pub fn hurry(&self) {
        self.hurry.notify_one();
    }

    /// What this process posted last; its blocks may have left the chain since.
    pub fn posted(&self) -> Option<Posted> {
        *self.posted.borrow()
    }

    /// Completes when it should hurry.
    pub(crate) async fn hurried(&self) {
        self.hurry.notified().await;
    }

    pub(crate) fn note(&self, posted: Option<Posted>) {
        self.posted.send_replace(posted);
    }
}

/// The loops of a sequencer.
#[derive(Debug)]
pub struct Control {
    /// Builds blocks.
    pub sequencer: Switch,
    /// Posts them.
    pub publisher: Publisher,
}

impl Default for Control {
    fn default() -> Self {
        let publisher = Publisher {
            switch: Switch::default(),
            hurry: Notify::new(),
            posted: watch::Sender::new(None),
        };
        Self { sequencer: Switch::default(), publisher }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_loop_is_stopped_once_it_ended_what_it_began() {
        let switch = Switch::default();
        assert_eq!(switch.state(), LoopState::Running);
        let busy = switch.busy();
        switch.stop();
        assert_eq!(switch.state(), LoopState::Stopping);
        switch.turned(false).await;
        drop(busy);
        switch.stopped().await;
        assert_eq!(switch.state(), LoopState::Stopped);
        switch.start();
        switch.turned(true).await;
        assert_eq!(switch.state(), LoopState::Running);
    }
}
