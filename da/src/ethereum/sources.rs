//! Several servers for one thing, tried in turn; those that failed lately come last.

use std::fmt;
use std::time::Duration;

use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::DaError;

const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const MOST_BACKOFF: Duration = Duration::from_secs(60);

/// Why a server was of no use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// No answer, or one that says nothing of the question.
    Silent(String),
    /// It answered with an error of JSON-RPC.
    Refused { code: i64, message: String },
    /// What it answered contradicts itself, or what was asked for.
    Wrong(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent(text) | Self::Wrong(text) => f.write_str(text),
            Self::Refused { code, message } => write!(f, "error {code}: {message}"),
        }
    }
}

/// A server, and what is known of it.
#[derive(Debug)]
pub(super) struct Source<T> {
    /// Its address, without a slash at the end.
    pub(super) url: String,
    /// Host and port: an address may hold a secret, this is what is shown.
    pub(super) name: String,
    /// What was learned of it, until it fails.
    pub(super) known: Mutex<Option<T>>,
    health: Mutex<Health>,
}

#[derive(Debug, Default)]
struct Health {
    failures: u32,
    until: Option<Instant>,
}

impl<T> Source<T> {
    /// Notes how a request ended.
    pub(super) fn note(&self, fault: Option<&Fault>) {
        let mut health = self.health.lock();
        match fault {
            None | Some(Fault::Refused { .. }) => *health = Health::default(),
            Some(Fault::Silent(_) | Fault::Wrong(_)) => {
                *self.known.lock() = None;
                let pause = FIRST_BACKOFF * 2u32.saturating_pow(health.failures.min(16));
                health.failures += 1;
                health.until = Some(Instant::now() + pause.min(MOST_BACKOFF));
            }
        }
    }

    fn rests(&self, now: Instant) -> bool {
        self.health.lock().until.is_some_and(|until| until > now)
    }
}

/// Servers in the order in which the settings prefer them.
#[derive(Debug)]
pub(super) struct Sources<T> {
    what: &'static str,
    sources: Vec<Source<T>>,
}

impl<T> Sources<T> {
    /// Of these addresses; `what` they are is said in errors.
    pub(super) fn new(what: &'static str, urls: &[String]) -> Result<Self, DaError> {
        let sources = urls.iter().map(|url| source(what, url)).collect::<Result<_, _>>()?;
        Ok(Self { what, sources })
    }

    /// All, those that rest after a failure last.
    pub(super) fn in_turn(&self) -> Vec<&Source<T>> {
        let now = Instant::now();
        let (resting, ready): (Vec<_>, Vec<_>) =
            self.sources.iter().partition(|source| source.rests(now));
        ready.into_iter().chain(resting).collect()
    }

    /// The first good answer of any.
    pub(super) async fn first<'a, R>(
        &'a self,
        ask: impl Fn(&'a Source<T>) -> BoxFuture<'a, Result<R, Fault>> + Send + Sync,
    ) -> Result<R, DaError> {
        let mut faults = Vec::new();
        for source in self.in_turn() {
            let answer = ask(source).await;
            source.note(answer.as_ref().err());
            match answer {
                Ok(answer) => return Ok(answer),
                Err(fault) => faults.push(format!("{}: {fault}", source.name)),
            }
        }
        Err(DaError::Unavailable(format!("no {} is of use: {}", self.what, faults.join("; "))))
    }
}

fn source<T>(what: &'static str, text: &str) -> Result<Source<T>, DaError> {
    let bad = |reason: &str| DaError::Config(format!("node settings, [da]: {what}: {reason}"));
    let url = reqwest::Url::parse(text).map_err(|_| bad("an address is no URL"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(bad("an address must begin with http:// or https://"));
    }
    let host = url.host_str().ok_or_else(|| bad("an address has no host"))?;
    let name = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let (known, health) = (Mutex::new(None), Mutex::default());
    Ok(Source { url: text.trim_end_matches('/').to_owned(), name, known, health })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names<T>(sources: &Sources<T>) -> Vec<&str> {
        sources.in_turn().into_iter().map(|source| source.name.as_str()).collect()
    }

    #[tokio::test]
    async fn who_failed_comes_last_for_a_while_and_secrets_are_not_shown() {
        let urls = ["http://a:1/v3/secret", "https://b/", "http://c:3"].map(str::to_owned);
        let sources: Sources<()> = Sources::new("l1 rpc", &urls).unwrap();
        assert_eq!(names(&sources), ["a:1", "b", "c:3"]);
        let silent = || Fault::Silent("timed out".into());
        let answer = sources
            .first(|source| {
                Box::pin(async move {
                    if source.name == "a:1" { Err(silent()) } else { Ok(source.name.clone()) }
                })
            })
            .await;
        assert_eq!(answer, Ok("b".to_owned()));
        assert_eq!(names(&sources), ["b", "c:3", "a:1"]);
        tokio::time::sleep(FIRST_BACKOFF).await;
        assert_eq!(names(&sources), ["a:1", "b", "c:3"]);

        let error = sources.first::<()>(|_| Box::pin(async { Err(silent()) })).await.unwrap_err();
        assert!(error.is_temporary());
        let text = error.to_string();
        assert!(
            text.contains("a:1: timed out; b: timed out") && !text.contains("secret"),
            "{text}"
        );
        tokio::time::sleep(FIRST_BACKOFF).await;
        assert_eq!(names(&sources)[2], "a:1", "a second failure counts for longer");
    }

    #[test]
    fn an_address_is_checked_before_it_is_used() {
        for url in ["example.org", "ftp://example.org", "http://"] {
            let error = Sources::<()>::new("l1 rpc", &[url.to_owned()]).unwrap_err();
            assert!(matches!(error, DaError::Config(_)), "{url}");
        }
    }
}
