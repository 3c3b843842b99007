//! One WebSocket connection of a load.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::answer;
use super::shared::{Shared, Slots};
use crate::sign::Signed;
use crate::ws::{Ws, text};

/// How long what was refused waits before it is sent again.
const BACK_OFF: Duration = Duration::from_millis(20);

pub(super) struct Lane {
    ws: Ws,
    slots: Slots,
    window: usize,
    frames: Vec<Vec<u8>>,
}

impl Lane {
    /// Connects, and renders every message.
    pub(super) async fn open(
        server: SocketAddr,
        txs: &[Signed],
        slots: Slots,
        window: usize,
        method: &str,
    ) -> eyre::Result<Self> {
        let ws = Ws::connect(server).await?;
        let render = |(id, tx): (usize, &Signed)| {
            let raw = &tx.raw;
            text(&format!(
                "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"{method}\",\"params\":[\"{raw}\"]}}"
            ))
        };
        let frames = txs.iter().enumerate().map(render).collect();
        Ok(Self { ws, slots, window, frames })
    }

    pub(super) async fn run(mut self, shared: Rc<Shared>) -> eyre::Result<()> {
        shared.begun().await;
        let (mut next, mut unanswered) = (0, 0);
        let mut again: Vec<(usize, Instant)> = Vec::new();
        while next < self.frames.len() || unanswered > 0 || !again.is_empty() {
            let mut bytes = Vec::new();
            again.retain(|(id, at)| {
                let wait = at.elapsed() < BACK_OFF;
                if !wait {
                    bytes.extend_from_slice(&self.frames[*id]);
                    unanswered += 1;
                }
                wait
            });
            // Nothing new while something is refused: nonces stay in order.
            while again.is_empty() && unanswered < self.window && next < self.frames.len() {
                if unanswered > 0 && !shared.has_room() {
                    break;
                }
                let due = shared.due(self.slots, next).await;
                shared.departed(self.slots.first + next, due);
                bytes.extend_from_slice(&self.frames[next]);
                (next, unanswered) = (next + 1, unanswered + 1);
            }
            if !bytes.is_empty() {
                self.ws.send(&bytes).await?;
            }
            if unanswered == 0 {
                tokio::time::sleep(BACK_OFF).await;
                continue;
            }
            loop {
                let body = self.ws.next().await?;
                let id = answer::id(body)?;
                unanswered -= 1;
                match answer::refused(body, 1)?.is_empty() {
                    true => shared.answered(self.slots.first + id),
                    false => {
                        shared.refused_one();
                        again.push((id, Instant::now()));
                    }
                }
                if !self.ws.has_next() {
                    break;
                }
            }
        }
        Ok(())
    }
}
