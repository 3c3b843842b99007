//! HTTP as the clients of layers need it: no redirects, bounded bodies, TLS without a global.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Response, StatusCode};

use crate::DaError;

/// A client that follows no redirects and no proxy. With `tls`, servers are checked against the
/// certificates that the machine trusts.
pub fn client(timeout: Duration, tls: bool) -> Result<reqwest::Client, DaError> {
    let mut roots = rustls::RootCertStore::empty();
    if tls {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let config = |error: &dyn std::fmt::Display| DaError::Config(format!("http client: {error}"));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| config(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    #[allow(clippy::disallowed_methods, reason = "the one place, with a TLS provider")]
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .timeout(timeout)
        .connect_timeout(timeout / 2)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .map_err(|error| config(&error))
}

/// Status and body of an answer, of at most `most` bytes.
pub(crate) async fn body(mut response: Response, most: usize) -> Result<Answer, String> {
    let status = response.status();
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| causes(&error))? {
        if bytes.len() + chunk.len() > most {
            return Err(format!("an answer above {most} bytes"));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Answer { status, bytes })
}

/// An answer that was read to its end.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) bytes: Vec<u8>,
}

/// An error with its causes, and without the address, which may hold a secret: the first alone only
/// says that sending failed.
pub(crate) fn causes(error: &reqwest::Error) -> String {
    let mut text = match error {
        error if error.is_timeout() => "timed out".to_owned(),
        error if error.is_connect() => "cannot connect".to_owned(),
        _ => "the request failed".to_owned(),
    };
    let first = std::error::Error::source(error);
    for cause in std::iter::successors(first, |error| error.source()) {
        text = format!("{text}: {cause}");
    }
    text
}
