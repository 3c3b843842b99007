//! Rules of the transaction envelope, the same on every VM: chain id, fees, gas and byte budgets.

use alloy_consensus::Transaction;
use alloy_primitives::U256;
use causeway_chainspec::{BlockEnv, Fork, SkipReason, Tx, TxEnvelope, TxError};

/// Most gas one transaction may ask for since Osaka (EIP-7825).
pub(crate) const MAX_TX_GAS: u64 = 1 << 24;

/// What needs no state: type, chain id, nonce range, fee order, gas limits. For signed types.
pub(crate) fn check(tx: &Tx, env: &BlockEnv) -> Result<(), SkipReason> {
    if env.fork < since(&tx.envelope) {
        return Err(TxError::Type.into());
    }
    signature(tx, env.fork)?;
    if let Some(have) = tx.envelope.chain_id().filter(|id| *id != env.chain_id) {
        return Err(SkipReason::ChainId { have, want: env.chain_id });
    }
    if tx.envelope.nonce() == u64::MAX {
        return Err(SkipReason::Other("nonce has max value".into()));
    }
    if tx.envelope.max_priority_fee_per_gas() > Some(tx.envelope.max_fee_per_gas()) {
        return Err(SkipReason::TipAboveFee);
    }
    let most = if env.fork >= Fork::Osaka { env.gas_limit.min(MAX_TX_GAS) } else { env.gas_limit };
    let have = tx.envelope.gas_limit();
    if have > most { Err(SkipReason::GasLimit { have, most }) } else { Ok(()) }
}

/// The fork that brought a type.
fn since(envelope: &TxEnvelope) -> Fork {
    match envelope {
        TxEnvelope::Legacy(_) | TxEnvelope::Deposit(_) => Fork::Frontier,
        TxEnvelope::Eip2930(_) => Fork::Berlin,
        TxEnvelope::Eip1559(_) => Fork::London,
        TxEnvelope::Eip4844(_) => Fork::Cancun,
        TxEnvelope::Eip7702(_) => Fork::Prague,
    }
}

/// Signatures that foreign blocks had before our chains began: with `s` in the upper half before
/// EIP-2 (Homestead), and never with a chain id before EIP-155 (Spurious Dragon).
fn signature(tx: &Tx, fork: Fork) -> Result<(), TxError> {
    let high = tx.envelope.signature().is_some_and(|it| it.normalize_s().is_some());
    let replayable = fork < Fork::SpuriousDragon && tx.envelope.chain_id().is_some();
    let bad = replayable || (high && fork >= Fork::Homestead);
    if bad { Err(TxError::Signature) } else { Ok(()) }
}

/// Most a transaction can cost its sender, in wei; saturates, which no balance covers.
pub(crate) fn max_cost(tx: &Tx) -> U256 {
    let fee = match tx.envelope {
        TxEnvelope::Deposit(_) => U256::ZERO,
        _ => U256::from(tx.envelope.gas_limit()) * U256::from(tx.envelope.max_fee_per_gas()),
    };
    let blob_gas = U256::from(tx.envelope.blob_gas_used().unwrap_or_default());
    let blob_fee = blob_gas * U256::from(tx.envelope.max_fee_per_blob_gas().unwrap_or_default());
    fee.saturating_add(blob_fee).saturating_add(tx.envelope.value())
}

/// Gas and bytes that are left in a block.
pub(crate) struct Room {
    gas: u64,
    bytes: u64,
}

impl Room {
    pub(crate) fn new(env: &BlockEnv) -> Self {
        Self { gas: env.gas_available, bytes: env.bytes_available }
    }

    /// Whether a signed transaction may still ask for its whole gas limit.
    pub(crate) fn fits(&self, tx: &Tx) -> Result<(), SkipReason> {
        let (have, left) = (tx.envelope.gas_limit(), self.gas);
        if have > left {
            return Err(SkipReason::BlockFull { have, left });
        }
        let (have, left) = (tx.raw.len() as u64, self.bytes);
        if have > left {
            return Err(SkipReason::BytesFull { have, left });
        }
        Ok(())
    }

    /// Takes what an included transaction used. Deposits do not ask first, so this saturates;
    /// they leave the bytes alone, which are a budget for candidates.
    pub(crate) fn take(&mut self, tx: &Tx, gas_used: u64) {
        self.gas = self.gas.saturating_sub(gas_used);
        if !tx.is_deposit() {
            self.bytes = self.bytes.saturating_sub(tx.raw.len() as u64);
        }
    }
}
