//! Why the mempool refuses a transaction, and why it let one go.

use alloy_primitives::{B256, U256};
use causeway_chainspec::SkipReason;

/// Why a transaction did not enter. Texts are the ones client libraries match on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// The very same transaction waits already.
    #[error("already known")]
    AlreadyKnown,
    /// Another transaction with its nonce waits and neither fee cap is 10 % above that one's.
    #[error("replacement transaction underpriced")]
    Underpriced,
    /// No room, and nothing cheaper to put out.
    #[error("txpool is full")]
    Full,
    /// Too many bytes.
    #[error("oversized data: transaction size {bytes}, limit {most}")]
    Oversized {
        /// Its size.
        bytes: usize,
        /// Most bytes of a transaction.
        most: usize,
    },
    /// The account has used this nonce.
    #[error("nonce too low: next nonce {state}, tx nonce {tx}")]
    NonceTooLow {
        /// Next nonce of the account.
        state: u64,
        /// Nonce of the transaction.
        tx: u64,
    },
    /// The balance does not cover it and what the account has waiting.
    #[error("insufficient funds for gas * price + value: have {have} want {want}")]
    Funds {
        /// Balance, wei.
        have: U256,
        /// Cost of all, wei.
        want: U256,
    },
    /// The account has too many transactions behind a gap of nonces.
    #[error("account limit exceeded: {most} transactions wait for nonce {next}")]
    AccountLimit {
        /// Most that may wait.
        most: usize,
        /// The nonce that is missing.
        next: u64,
    },
    /// A sender with an EIP-7702 delegation has one transaction waiting already.
    #[error("in-flight transaction limit reached for delegated accounts")]
    InFlight,
    /// The node put it aside: executing it twice gave two results.
    #[error("transaction is quarantined: executing it twice gave two results")]
    Quarantined,
}

/// Why a transaction that was accepted left without being included.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DropReason {
    /// Its author sent another with its nonce.
    #[error("replaced by {0}")]
    Replaced(B256),
    /// The pool was full and it paid least.
    #[error("evicted: the pool was full")]
    Evicted,
    /// Another transaction used its nonce.
    #[error("nonce used by another transaction")]
    NonceUsed,
    /// It can never become valid.
    #[error(transparent)]
    Invalid(SkipReason),
    /// Executing it twice gave two results.
    #[error("quarantined")]
    Quarantined,
}
