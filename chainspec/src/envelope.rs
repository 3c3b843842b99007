//! The transaction envelope (EIP-2718): every type of Ethereum, and the deposit.

use alloy_consensus::crypto::{RecoveryError, secp256k1};
use alloy_consensus::transaction::SignerRecoverable;
use alloy_consensus::{
    Sealed, SignableTransaction, Signed, TransactionEnvelope, TxEip1559, TxEip2930, TxEip4844,
    TxEip7702, TxLegacy,
};
use alloy_primitives::{Address, B256, Signature};
use op_alloy_consensus::TxDeposit;

/// Ethereum's EIP-2718 envelope plus the deposit type 0x7E. Chains of this program carry no blob
/// transaction, since a rollup has no blobs of its own; only blocks of other chains hold one.
#[derive(Debug, Clone, TransactionEnvelope)]
#[envelope(tx_type_name = TxType)]
pub enum TxEnvelope {
    /// Untyped.
    #[envelope(ty = 0)]
    Legacy(Signed<TxLegacy>),
    /// With an access list.
    #[envelope(ty = 1)]
    Eip2930(Signed<TxEip2930>),
    /// With a fee cap and a tip.
    #[envelope(ty = 2)]
    Eip1559(Signed<TxEip1559>),
    /// With the hashes of blobs, which are not part of it.
    #[envelope(ty = 3)]
    Eip4844(Signed<TxEip4844>),
    /// With authorizations.
    #[envelope(ty = 4)]
    Eip7702(Signed<TxEip7702>),
    /// Made by the protocol; unsigned.
    #[envelope(ty = 126)]
    #[serde(serialize_with = "op_alloy_consensus::serde_deposit_tx_rpc")]
    Deposit(Sealed<TxDeposit>),
}

impl TxEnvelope {
    /// The type.
    pub fn tx_type(&self) -> TxType {
        TransactionEnvelope::tx_type(self)
    }

    /// The signature, and the hash it signs; `None` for a deposit.
    fn signed(&self) -> Option<(&Signature, B256)> {
        Some(match self {
            Self::Legacy(tx) => (tx.signature(), tx.tx().signature_hash()),
            Self::Eip2930(tx) => (tx.signature(), tx.tx().signature_hash()),
            Self::Eip1559(tx) => (tx.signature(), tx.tx().signature_hash()),
            Self::Eip4844(tx) => (tx.signature(), tx.tx().signature_hash()),
            Self::Eip7702(tx) => (tx.signature(), tx.tx().signature_hash()),
            Self::Deposit(_) => return None,
        })
    }

    /// The signature; `None` for a deposit.
    pub fn signature(&self) -> Option<&Signature> {
        Some(match self {
            Self::Legacy(tx) => tx.signature(),
            Self::Eip2930(tx) => tx.signature(),
            Self::Eip1559(tx) => tx.signature(),
            Self::Eip4844(tx) => tx.signature(),
            Self::Eip7702(tx) => tx.signature(),
            Self::Deposit(_) => return None,
        })
    }

    /// Who signed it, or the `from` of a deposit.
    fn signer(
        &self,
        recover: impl FnOnce(&Signature, B256) -> Result<Address, RecoveryError>,
    ) -> Result<Address, RecoveryError> {
        match (self, self.signed()) {
            (Self::Deposit(tx), _) => Ok(tx.from),
            (_, Some((signature, hash))) => recover(signature, hash),
            (_, None) => Err(RecoveryError::new()),
        }
    }
}

impl SignerRecoverable for TxEnvelope {
    fn recover_signer(&self) -> Result<Address, RecoveryError> {
        self.signer(secp256k1::recover_signer)
    }

    fn recover_signer_unchecked(&self) -> Result<Address, RecoveryError> {
        self.signer(secp256k1::recover_signer_unchecked)
    }
}

macro_rules! from_signed {
    ($($variant:ident($tx:ty)),*) => {$(
        impl From<Signed<$tx>> for TxEnvelope {
            fn from(tx: Signed<$tx>) -> Self {
                Self::$variant(tx)
            }
        }
    )*};
}

from_signed!(
    Legacy(TxLegacy),
    Eip2930(TxEip2930),
    Eip1559(TxEip1559),
    Eip4844(TxEip4844),
    Eip7702(TxEip7702)
);
