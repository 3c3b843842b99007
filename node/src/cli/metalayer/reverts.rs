//! What the Mailbox says no with, in words.

use alloy_primitives::keccak256;

use crate::rpc::revert_reason;

/// Errors of the Mailbox by signature.
const ERRORS: &[(&str, &str)] = &[];

/// Revert data in words, if they are known.
pub(super) fn explain(data: &[u8]) -> Option<String> {
    let selector = data.first_chunk::<4>()?;
    let known = ERRORS.iter().find(|(signature, _)| keccak256(signature)[..4] == selector[..]);
    known.map(|(_, words)| (*words).to_owned()).or_else(|| revert_reason(data))
}
