//! A transaction as it travels through the node: raw bytes, hash and sender, computed once.

use alloy_consensus::transaction::SignerRecoverable;
use alloy_consensus::{Sealable, Transaction};
use alloy_eips::eip2718::{Decodable2718, Encodable2718};
use alloy_primitives::{Address, B256, Bytes, keccak256};
use op_alloy_consensus::TxDeposit;

use crate::directory::{FORCED_TYPE, ForcedMessage};
use crate::l1::MESSAGE_TYPE;

pub use crate::envelope::{TxEnvelope, TxType};

/// A decoded transaction with its sender recovered: proof that both were done once.
#[derive(Debug, Clone)]
pub struct Tx {
    /// EIP-2718 bytes, exactly as received.
    pub raw: Bytes,
    /// Keccak-256 of `raw`.
    pub hash: B256,
    /// Recovered signer; for a deposit, its `from`.
    pub sender: Address,
    /// The decoded envelope.
    pub envelope: TxEnvelope,
}

impl PartialEq for Tx {
    fn eq(&self, other: &Self) -> bool {
        self.raw == other.raw
    }
}

impl Eq for Tx {}

/// Why bytes are no transaction of this chain. Texts are those that client libraries parse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TxError {
    /// Type 3 (EIP-4844): this chain carries no blobs.
    #[error(
        "transaction type not valid: transaction type not supported (blob transactions belong on the parent chain)"
    )]
    Blob,
    /// A type this chain does not know, or a type users may not sign.
    #[error("transaction type not valid: transaction type not supported")]
    Type,
    /// A message to the protocol, which is read where it stands in the forced lane.
    #[error(
        "transaction type not valid: a message to the protocol is no transaction; the forced lane carries it"
    )]
    Protocol,
    /// Not the canonical EIP-2718 encoding of a known type.
    #[error("rlp: transaction cannot be decoded")]
    Encoding,
    /// The signature recovers to no address, or its `s` is in the upper half (EIP-2).
    #[error("invalid sender: the signature does not recover to an address")]
    Signature,
}

/// A transaction that was decoded and hashed (about a microsecond); what it would cost to recover
/// its sender is not spent yet.
#[derive(Debug, Clone)]
pub struct Unrecovered {
    raw: Bytes,
    hash: B256,
    envelope: TxEnvelope,
}

impl Unrecovered {
    /// Trailing bytes, blob transactions, unsigned (0x7E, 0x7D) types and messages to the protocol
    /// (0x7C) are errors.
    pub fn decode(raw: Bytes) -> Result<Self, TxError> {
        match raw.first() {
            Some(0x03) => return Err(TxError::Blob),
            Some(0x01 | 0x02 | 0x04 | 0xc0..=0xff) => {}
            Some(&FORCED_TYPE) if ForcedMessage::decode(&raw).is_some() => {
                return Err(TxError::Protocol);
            }
            Some(_) => return Err(TxError::Type),
            None => return Err(TxError::Encoding),
        }
        let envelope =
            TxEnvelope::decode_2718_exact(raw.as_ref()).map_err(|_| TxError::Encoding)?;
        Ok(Self { hash: keccak256(&raw), raw, envelope })
    }

    /// Keccak-256 of its bytes.
    pub fn hash(&self) -> B256 {
        self.hash
    }

    /// The decoded envelope.
    pub fn envelope(&self) -> &TxEnvelope {
        &self.envelope
    }

    /// Recovers the sender (about 50 microseconds).
    pub fn recover(self) -> Result<Tx, TxError> {
        let sender = self.envelope.recover_signer().map_err(|_| TxError::Signature)?;
        let Self { raw, hash, envelope } = self;
        Ok(Tx { raw, hash, sender, envelope })
    }
}

impl Tx {
    /// Decodes a signed transaction and recovers its sender: see [`Unrecovered`].
    pub fn decode(raw: Bytes) -> Result<Self, TxError> {
        Unrecovered::decode(raw)?.recover()
    }

    /// Decodes a signed transaction of another chain, of any fork: blob transactions too, and
    /// signatures with `s` in the upper half, which Frontier allowed. What its fork allows is
    /// checked when it is executed.
    pub fn foreign(raw: Bytes) -> Result<Self, TxError> {
        match raw.first() {
            Some(0x01..=0x04 | 0xc0..=0xff) => {}
            Some(_) => return Err(TxError::Type),
            None => return Err(TxError::Encoding),
        }
        let envelope =
            TxEnvelope::decode_2718_exact(raw.as_ref()).map_err(|_| TxError::Encoding)?;
        let sender = envelope.recover_signer_unchecked().map_err(|_| TxError::Signature)?;
        Ok(Self { hash: keccak256(&raw), raw, sender, envelope })
    }

    /// Decodes bytes this node stored itself: like [`Tx::decode`], but the sender was recovered
    /// before and is taken as it is.
    pub fn stored(raw: Bytes, sender: Address) -> Result<Self, TxError> {
        let envelope =
            TxEnvelope::decode_2718_exact(raw.as_ref()).map_err(|_| TxError::Encoding)?;
        Ok(Self { hash: keccak256(&raw), raw, sender, envelope })
    }

    /// Reads a message of type 0x7E back; `None` for anything else.
    pub fn message(raw: &Bytes) -> Option<Self> {
        if raw.first() != Some(&MESSAGE_TYPE) {
            return None;
        }
        let envelope = TxEnvelope::decode_2718_exact(raw.as_ref()).ok()?;
        let TxEnvelope::Deposit(message) = &envelope else { return None };
        Some(Self { hash: keccak256(raw), raw: raw.clone(), sender: message.from, envelope })
    }

    /// A protocol message as a transaction of type 0x7E.
    pub fn deposit(deposit: TxDeposit) -> Self {
        let sender = deposit.from;
        let envelope = TxEnvelope::Deposit(deposit.seal_slow());
        let raw = Bytes::from(envelope.encoded_2718());
        Self { hash: keccak256(&raw), raw, sender, envelope }
    }

    /// True for the unsigned type 0x7E, which is never skipped.
    pub fn is_deposit(&self) -> bool {
        matches!(self.envelope, TxEnvelope::Deposit(_))
    }

    /// Price a gas unit pays at `base_fee`, in wei; zero for a deposit.
    pub fn effective_gas_price(&self, base_fee: u64) -> u128 {
        if self.is_deposit() { 0 } else { self.envelope.effective_gas_price(Some(base_fee)) }
    }
}

/// Why a signed transaction was left out of a block. A skipped transaction changes nothing.
/// The texts are the ones geth uses, because client libraries match on them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SkipReason {
    /// The bytes are no transaction of this chain.
    #[error(transparent)]
    Undecodable(#[from] TxError),
    /// Signed for another chain.
    #[error("invalid chain id for signer: have {have} want {want}")]
    ChainId {
        /// Chain id in the transaction.
        have: u64,
        /// Chain id of this chain.
        want: u64,
    },
    /// The account has already used this nonce.
    #[error("nonce too low: next nonce {state}, tx nonce {tx}")]
    NonceTooLow {
        /// Next nonce of the account.
        state: u64,
        /// Nonce of the transaction.
        tx: u64,
    },
    /// An earlier nonce of the account is missing.
    #[error("nonce too high: next nonce {state}, tx nonce {tx}")]
    NonceTooHigh {
        /// Next nonce of the account.
        state: u64,
        /// Nonce of the transaction.
        tx: u64,
    },
    /// The balance does not cover `gas * price + value`.
    #[error("insufficient funds for gas * price + value: have {have} want {want}")]
    Funds {
        /// Balance in wei.
        have: alloy_primitives::U256,
        /// Cost in wei.
        want: alloy_primitives::U256,
    },
    /// `maxFeePerGas` (or `gasPrice`) is below the block's base fee.
    #[error(
        "max fee per gas less than block base fee: maxFeePerGas: {max_fee}, baseFee: {base_fee}"
    )]
    FeeTooLow {
        /// What the transaction offers, wei per gas.
        max_fee: u128,
        /// What the block asks, wei per gas.
        base_fee: u64,
    },
    /// Priority fee above the maximum fee.
    #[error("max priority fee per gas higher than max fee per gas")]
    TipAboveFee,
    /// Gas limit below the intrinsic cost (or below the EIP-7623 floor).
    #[error("intrinsic gas too low: have {have}, want {want}")]
    IntrinsicGas {
        /// Gas limit of the transaction.
        have: u64,
        /// Least gas it needs.
        want: u64,
    },
    /// Gas limit above what one transaction may ask for (EIP-7825) or above the block's limit.
    #[error("exceeds block gas limit: gas limit {have}, most {most}")]
    GasLimit {
        /// Gas limit of the transaction.
        have: u64,
        /// Highest limit allowed.
        most: u64,
    },
    /// No room left in this block.
    #[error("gas limit reached: the block has {left} gas left, the transaction asks {have}")]
    BlockFull {
        /// Gas limit of the transaction.
        have: u64,
        /// Gas left in the block.
        left: u64,
    },
    /// No bytes left in this block.
    #[error("byte limit reached: the block has {left} bytes left, the transaction has {have}")]
    BytesFull {
        /// Bytes of the transaction.
        have: u64,
        /// Bytes left in the block.
        left: u64,
    },
    /// The sender has code that is no EIP-7702 delegation (EIP-3607).
    #[error("sender not an eoa")]
    SenderNotEoa,
    /// Creation code above 49,152 bytes (EIP-3860).
    #[error("max initcode size exceeded: code size {have} limit {most}")]
    InitCode {
        /// Size in bytes.
        have: usize,
        /// Limit in bytes.
        most: usize,
    },
    /// The VM of this chain does not do what the transaction asks for.
    #[error("transaction not supported by this chain's vm: {0}")]
    Unsupported(String),
    /// Invalid in a way the VM describes itself, now and later: what may pass has its own variant,
    /// because the mempool forgets these.
    #[error("{0}")]
    Other(String),
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use alloy_consensus::{SignableTransaction, TxEip4844, TxLegacy};
    use alloy_primitives::{Signature, uint};

    use super::*;
    use crate::plan::Candidate;

    #[test]
    fn blobs_and_high_signatures_are_of_foreign_chains_only() {
        let half = Signature::test_signature();
        let order = uint!(
            115792089237316195423570985008687907852837564279074904382605163141518161494337_U256
        );
        let high = Signature::new(half.r(), order - half.s(), !half.v());
        let raw = |envelope: TxEnvelope| Bytes::from(envelope.encoded_2718());
        let blob = TxEip4844 { blob_versioned_hashes: vec![B256::ZERO], ..Default::default() };
        let blob = raw(blob.into_signed(half).into());
        assert_eq!(Tx::decode(blob.clone()), Err(TxError::Blob));
        let read = Tx::foreign(blob.clone()).unwrap();
        assert_eq!((read.envelope.tx_type(), read.hash), (TxType::Eip4844, keccak256(&blob)));
        assert_eq!(read.envelope.encoded_2718(), blob);
        let signed = |signature| raw(TxLegacy::default().into_signed(signature).into());
        assert_eq!(Tx::decode(signed(high)), Err(TxError::Signature));
        // The mirrored signature is of the same sender.
        let sender = Tx::decode(signed(half)).unwrap().sender;
        assert_eq!(Tx::foreign(signed(high)).unwrap().sender, sender);
        for bytes in [Bytes::new(), [0x7e].into(), [0x7c].into(), [3].into(), [3, 0xc0].into()] {
            assert!(Tx::foreign(bytes).is_err());
        }
    }

    #[test]
    fn a_message_to_the_protocol_is_no_transaction_and_says_so() {
        let bytes = ForcedMessage::Demand { domain: 1, height: 2 }.encode();
        assert_eq!(Tx::decode(bytes.clone()), Err(TxError::Protocol));
        let Candidate::Invalid(hash, reason) = Candidate::decode(&bytes) else {
            panic!("taken for a transaction");
        };
        assert_eq!((hash, &reason), (keccak256(&bytes), &TxError::Protocol.into()));
        assert!(reason.to_string().contains("a message to the protocol"), "{reason}");
        // What only begins like one is of an unknown type.
        for bytes in [vec![FORCED_TYPE], vec![FORCED_TYPE, 9], [&bytes[..], &[0]].concat()] {
            assert_eq!(Tx::decode(bytes.into()), Err(TxError::Type));
        }
    }
}
