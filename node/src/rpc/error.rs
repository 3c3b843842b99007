//! Error objects: geth's codes and texts, because client libraries match on them.

use std::fmt::Display;
use std::time::Duration;

use alloy_primitives::{B256, Bytes, U256};
use causeway_chainspec::{SkipReason, StateError, TxError};
use causeway_da::DaError;
use causeway_execution::{ExecutionError, VmError};
use jsonrpsee::server::{HttpBody, HttpResponse};
use jsonrpsee::types::ErrorObjectOwned;
use serde_json::json;

use super::backend::SubmitError;

/// Code of a transaction or call that cannot be done as asked.
pub(crate) const SERVER: i32 = -32000;
const PARAMS: i32 = -32602;
const INTERNAL: i32 = -32603;
const REVERTED: i32 = 3;
/// EIP-7966: the transaction was taken, but was in no block in time.
const NOT_IN_TIME: i32 = 4;
/// EIP-7966: the transaction was taken, and cannot run yet.
const NOT_READY: i32 = 5;
const PRUNED: i32 = 4444;
const UNAVAILABLE: i32 = -32002;
const REJECTED: i32 = -32003;
const BUSY: i32 = -32005;
/// This node could, but is not set up to; or the VM of its chain cannot.
const UNSUPPORTED: i32 = -32004;

/// Answer of a method.
pub(crate) type RpcResult<T> = Result<T, RpcError>;

/// A JSON-RPC error object.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RpcError(ErrorObjectOwned);

impl RpcError {
    pub(crate) fn new(code: i32, message: impl Into<String>) -> Self {
        Self(ErrorObjectOwned::owned(code, message, None::<()>))
    }

    /// The code that clients see.
    pub(crate) fn code(&self) -> i32 {
        self.0.code()
    }

    /// The text that clients see.
    pub(crate) fn message(&self) -> &str {
        self.0.message()
    }

    /// The same error, saying where it is.
    pub(crate) fn within(self, place: &str) -> Self {
        let message = format!("{place}: {}", self.0.message());
        Self(ErrorObjectOwned::owned(self.0.code(), message, self.0.data().map(ToOwned::to_owned)))
    }

    /// A parameter is missing or wrong.
    pub(crate) fn params(message: impl Into<String>) -> Self {
        Self::new(PARAMS, message)
    }

    /// A parameter cannot be read as what it has to be. Where in its text is left out: clients do
    /// not see that text.
    pub(crate) fn argument(at: usize, name: &str, error: &serde_json::Error) -> Self {
        let place = format!(" at line {} column {}", error.line(), error.column());
        let text = error.to_string();
        let reason = text.strip_suffix(&place).unwrap_or(&text);
        Self::params(format!("invalid argument {at} ({name}): {reason}"))
    }

    /// The request is well formed, but cannot be done.
    pub(crate) fn server(message: impl Into<String>) -> Self {
        Self::new(SERVER, message)
    }

    /// Our own failure: logged in full, told without detail.
    pub(crate) fn internal(cause: impl Display) -> Self {
        tracing::error!(target: "rpc", %cause, "request failed");
        Self::new(INTERNAL, "internal error")
    }

    /// The node had it, and has it no more.
    pub(crate) fn pruned() -> Self {
        Self::new(PRUNED, "Pruned history unavailable")
    }

    /// Not on this node or this chain: why, and what would have to be done.
    pub(crate) fn unsupported(why: impl Display) -> Self {
        Self::new(UNSUPPORTED, format!("Method not supported: {why}"))
    }

    /// No block of this number or hash.
    pub(crate) fn no_header() -> Self {
        Self::server("header not found")
    }

    /// The call ran for too long.
    pub(crate) fn timeout(limit: Duration) -> Self {
        Self::server(format!("execution aborted (timeout = {}s)", limit.as_secs_f32()))
    }

    /// More is asked for than is allowed.
    pub(crate) fn limit(what: impl Display) -> Self {
        Self::new(BUSY, format!("limit exceeded: {what}"))
    }

    /// A transaction that its sender does not want as the chain is now.
    pub(crate) fn rejected(why: impl Display) -> Self {
        Self::new(REJECTED, format!("transaction rejected: {why}"))
    }

    /// No worker became free in time; clients retry this code by themselves.
    pub(crate) fn busy() -> Self {
        Self::new(BUSY, "limit exceeded: too many calls at once, try again later")
    }

    /// EIP-7966.
    pub(crate) fn not_in_time(hash: B256, limit: Duration) -> Self {
        let message = format!(
            "The transaction was added to the mempool but wasn't processed in {}ms",
            limit.as_millis()
        );
        Self(ErrorObjectOwned::owned(NOT_IN_TIME, message, Some(hash)))
    }

    /// EIP-7966: it waits for an earlier nonce, which is told.
    pub(crate) fn not_ready(next: u64, limit: Duration) -> Self {
        let message = format!(
            "The transaction was added to the mempool, and {}ms later still waits for nonce {next}",
            limit.as_millis()
        );
        Self(ErrorObjectOwned::owned(NOT_READY, message, Some(format!("{next:#x}"))))
    }

    /// A call reverted: its data is always there, "0x" if empty.
    pub(crate) fn reverted(output: &Bytes) -> Self {
        let message = match revert_reason(output) {
            Some(reason) => format!("execution reverted: {reason}"),
            None => "execution reverted".to_owned(),
        };
        Self(ErrorObjectOwned::owned(REVERTED, message, Some(output)))
    }
}

impl From<RpcError> for ErrorObjectOwned {
    fn from(error: RpcError) -> Self {
        error.0
    }
}

impl From<ExecutionError> for RpcError {
    fn from(error: ExecutionError) -> Self {
        Self::internal(error)
    }
}

impl From<StateError> for RpcError {
    fn from(error: StateError) -> Self {
        Self::internal(error)
    }
}

impl From<SkipReason> for RpcError {
    fn from(reason: SkipReason) -> Self {
        Self::server(reason.to_string())
    }
}

impl From<TxError> for RpcError {
    fn from(error: TxError) -> Self {
        Self::server(error.to_string())
    }
}

impl From<VmError> for RpcError {
    fn from(error: VmError) -> Self {
        match error {
            VmError::Invalid(reason) => reason.into(),
            VmError::Unsupported(_) => Self::unsupported(error),
            VmError::Tracer(what) => Self::params(what),
            VmError::Expired | VmError::TooLarge(_) => Self::server(error.to_string()),
            VmError::State(_) | VmError::Broken(_) => Self::internal(error),
        }
    }
}

impl From<DaError> for RpcError {
    fn from(error: DaError) -> Self {
        match error {
            DaError::Storage(_) | DaError::Config(_) => Self::internal(error),
            _ if error.is_temporary() => {
                Self::new(UNAVAILABLE, format!("Resource unavailable: {error}"))
            }
            _ => Self::server(error.to_string()),
        }
    }
}

impl From<SubmitError> for RpcError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Failed(cause) => Self::internal(cause),
            SubmitError::Unreachable(_) | SubmitError::Halted(_) => {
                Self::new(UNAVAILABLE, error.to_string())
            }
            SubmitError::PoolFull => {
                let hint = json!({ "hint": "pay more than what waits, or send it again later" });
                Self(ErrorObjectOwned::owned(SERVER, error.to_string(), Some(hint)))
            }
            SubmitError::Remote { code, message, data } => {
                Self(ErrorObjectOwned::owned(code, message, data))
            }
            other => Self::server(other.to_string()),
        }
    }
}

/// Says in JSON-RPC, too, that there are too many connections; any other response stays as it is.
pub(crate) fn crowded(response: HttpResponse) -> HttpResponse {
    if response.status() != 429 {
        return response;
    }
    let message = "limit exceeded: too many connections, try again later";
    let answer = json!({
        "jsonrpc": "2.0", "id": null, "error": { "code": BUSY, "message": message },
    });
    let (mut parts, _) = response.into_parts();
    parts.headers.remove("content-length");
    for (name, value) in [("content-type", "application/json"), ("retry-after", "1")] {
        parts.headers.insert(name, value.parse().expect("a constant is a header's value"));
    }
    HttpResponse::from_parts(parts, HttpBody::from(answer.to_string()))
}

/// Reads `Error(string)` and `Panic(uint256)` revert data (Solidity ABI).
pub(crate) fn revert_reason(output: &[u8]) -> Option<String> {
    let (selector, rest) = output.split_first_chunk::<4>()?;
    match selector {
        [0x08, 0xc3, 0x79, 0xa0] => {
            let offset = word(rest, 0)?;
            let length = word(rest, offset)?;
            let start = offset.checked_add(32)?;
            let text = rest.get(start..start.checked_add(length)?)?;
            Some(String::from_utf8_lossy(text).into_owned())
        }
        [0x4e, 0x48, 0x7b, 0x71] => Some(panic_reason(U256::from_be_slice(rest.get(..32)?))),
        _ => None,
    }
}

/// A 32-byte word that stands for an offset or a length.
fn word(bytes: &[u8], at: usize) -> Option<usize> {
    let word = bytes.get(at..at.checked_add(32)?)?;
    usize::try_from(U256::from_be_slice(word)).ok()
}

fn panic_reason(code: U256) -> String {
    let known = match u8::try_from(code).unwrap_or(u8::MAX) {
        0x00 => "generic panic",
        0x01 => "assert(false)",
        0x11 => "arithmetic underflow or overflow",
        0x12 => "division or modulo by zero",
        0x21 => "enum overflow",
        0x22 => "invalid encoded storage byte array accessed",
        0x31 => "out-of-bounds array access; popping on an empty array",
        0x32 => "out-of-bounds access of an array or bytesN",
        0x41 => "out of memory",
        0x51 => "uninitialized function",
        _ => return format!("unknown panic code: {code:#x}"),
    };
    known.to_owned()
}

#[cfg(test)]
mod tests {
    use alloy_primitives::hex;

    use super::*;

    #[test]
    fn reads_reasons() {
        let error = hex!(
            "08c379a0000000000000000000000000000000000000000000000000000000000000002000000000000000"
            "0000000000000000000000000000000000000000000000000a75736572206572726f72"
        );
        assert_eq!(revert_reason(&error).as_deref(), Some("user error"));
        let mut panic = hex!("4e487b71").to_vec();
        panic.extend(U256::from(0x11).to_be_bytes::<32>());
        assert_eq!(revert_reason(&panic).as_deref(), Some("arithmetic underflow or overflow"));
        *panic.last_mut().unwrap() = 0x77;
        assert_eq!(revert_reason(&panic).as_deref(), Some("unknown panic code: 0x77"));
        assert_eq!(revert_reason(&[]), None);
        assert_eq!(revert_reason(&hex!("deadbeef")), None);
    }

    #[test]
    fn lying_offsets_and_lengths_are_no_reason() {
        let selector = hex!("08c379a0");
        for words in [
            vec![],
            vec![U256::MAX],
            vec![U256::from(32)],
            vec![U256::from(32), U256::MAX],
            vec![U256::from(32), U256::from(1)],
            vec![U256::from(usize::MAX), U256::ZERO],
            vec![U256::from(usize::MAX - 32), U256::ZERO],
        ] {
            let mut data = selector.to_vec();
            words.iter().for_each(|word| data.extend(word.to_be_bytes::<32>()));
            assert_eq!(revert_reason(&data), None, "{words:?}");
        }
    }
}
