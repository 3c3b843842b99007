//! One HTTP connection of a load.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use super::answer;
use super::shared::{Shared, Slots};
use crate::http::{Http, post};
use crate::sign::Signed;

/// First and longest wait before what was refused is sent again.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(320));

pub(super) struct Lane {
    http: Http,
    server: SocketAddr,
    slots: Slots,
    batch: usize,
    /// The calls of each request, as text but for their ids; and the request.
    requests: Vec<(Vec<String>, Vec<u8>)>,
}

impl Lane {
    /// Connects, and renders every request.
    pub(super) async fn open(
        server: SocketAddr,
        txs: &[Signed],
        slots: Slots,
        batch: usize,
        method: &str,
    ) -> eyre::Result<Self> {
        let http = Http::connect(server).await?;
        let render = |txs: &[Signed]| {
            let calls: Vec<_> = txs
                .iter()
                .map(|tx| format!("\"method\":\"{method}\",\"params\":[\"{}\"]", tx.raw))
                .collect();
            let request = request_of(server, calls.iter());
            (calls, request)
        };
        let requests = txs.chunks(batch).map(render).collect();
        Ok(Self { http, server, slots, batch, requests })
    }

    pub(super) async fn run(mut self, shared: Rc<Shared>) -> eyre::Result<()> {
        shared.begun().await;
        for (number, (calls, request)) in self.requests.iter().enumerate() {
            let first = self.slots.first + number * self.batch;
            let due = shared.due(self.slots, number * self.batch).await;
            (first..first + calls.len()).for_each(|index| shared.departed(index, due));
            let body = self.http.exchange(request).await?;
            let mut again = answer::refused(body, calls.len())?;
            let accepted = (0..calls.len()).filter(|id| !again.contains(id));
            accepted.for_each(|id| shared.answered(first + id));
            let mut pause = BACK_OFF.0;
            while !again.is_empty() {
                again.iter().for_each(|_| shared.refused_one());
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(BACK_OFF.1);
                let request = request_of(self.server, again.iter().map(|id| &calls[*id]));
                let body = self.http.exchange(&request).await?;
                let refused = answer::refused(body, again.len())?;
                let accepted = (0..again.len()).filter(|at| !refused.contains(at));
                accepted.for_each(|at| shared.answered(first + again[at]));
                again = refused.into_iter().map(|at| again[at]).collect();
            }
        }
        Ok(())
    }
}

/// A request of one call, or a batch of several.
fn request_of<'a>(server: SocketAddr, calls: impl Iterator<Item = &'a String>) -> Vec<u8> {
    let calls: Vec<_> = calls
        .enumerate()
        .map(|(id, call)| format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},{call}}}"))
        .collect();
    match &calls[..] {
        [one] => post(server, one),
        many => post(server, &format!("[{}]", many.join(","))),
    }
}
