//! From the chain's values to revm's and back: environments, transactions, and why one is invalid.

use alloy_consensus::{Transaction, Typed2718};
use alloy_primitives::U256;
use causeway_chainspec::{BlockEnv, Fork, SkipReason, Tx, TxEnvelope, TxError};
use revm::context::{BlockEnv as RevmBlock, CfgEnv, TxEnv};
use revm::context_interface::block::BlobExcessGasAndPrice;
use revm::context_interface::cfg::gas_params::GasParams;
use revm::context_interface::either::Either;
use revm::context_interface::result::{EVMError, InvalidTransaction as Invalid};
use revm::handler::validation;
use revm::primitives::{eip3860::MAX_INITCODE_SIZE, hardfork::SpecId};

use super::frames::Failure;
use crate::{Call, TxFacts, VmError, envelope};

/// revm's name of a fork.
pub(super) const fn spec_id(fork: Fork) -> SpecId {
    match fork {
        Fork::Frontier => SpecId::FRONTIER,
        Fork::Homestead => SpecId::HOMESTEAD,
        Fork::TangerineWhistle => SpecId::TANGERINE,
        Fork::SpuriousDragon => SpecId::SPURIOUS_DRAGON,
        Fork::Byzantium => SpecId::BYZANTIUM,
        Fork::Petersburg => SpecId::PETERSBURG,
        Fork::Istanbul => SpecId::ISTANBUL,
        Fork::Berlin => SpecId::BERLIN,
        Fork::London => SpecId::LONDON,
        Fork::Paris => SpecId::MERGE,
        Fork::Shanghai => SpecId::SHANGHAI,
        Fork::Cancun => SpecId::CANCUN,
        Fork::Prague => SpecId::PRAGUE,
        Fork::Osaka => SpecId::OSAKA,
    }
}

/// Everything that needs no state. The same reasons come from here and from execution.
pub(super) fn check(tx: &Tx, env: &BlockEnv) -> Result<TxFacts, SkipReason> {
    let facts = TxFacts { intrinsic_gas: intrinsic_gas(tx, env), max_cost: envelope::max_cost(tx) };
    if tx.is_deposit() {
        return Ok(facts);
    }
    envelope::check(tx, env)?;
    match &tx.envelope {
        TxEnvelope::Eip7702(signed) if signed.tx().authorization_list.is_empty() => {
            return Err(empty_authorizations());
        }
        TxEnvelope::Eip4844(signed) => {
            let (hashes, fee) =
                (&signed.tx().blob_versioned_hashes, signed.tx().max_fee_per_blob_gas);
            let most = Some(most_blobs(env.fork));
            validation::validate_eip4844_tx(hashes, fee, env.blob_base_fee, most)
                .map_err(invalid)?;
        }
        _ => {}
    }
    let have = tx.envelope.input().len();
    if tx.envelope.is_create() && env.fork >= Fork::Shanghai && have > MAX_INITCODE_SIZE {
        return Err(SkipReason::InitCode { have, most: MAX_INITCODE_SIZE });
    }
    let (have, want) = (tx.envelope.gas_limit(), facts.intrinsic_gas);
    if have < want { Err(SkipReason::IntrinsicGas { have, want }) } else { Ok(facts) }
}

/// The larger of intrinsic gas and EIP-7623 floor.
fn intrinsic_gas(tx: &Tx, env: &BlockEnv) -> u64 {
    let (accounts, slots) = tx.envelope.access_list().map_or((0, 0), |list| {
        (list.len() as u64, list.iter().map(|item| item.storage_keys.len() as u64).sum())
    });
    let gas = GasParams::new_spec(spec_id(env.fork)).initial_tx_gas(
        tx.envelope.input(),
        tx.envelope.is_create(),
        accounts,
        slots,
        tx.envelope.authorization_list().map_or(0, |list| list.len() as u64),
        None,
    );
    gas.initial_regular_gas().max(gas.floor_gas())
}

fn empty_authorizations() -> SkipReason {
    SkipReason::Other("EIP-7702 transaction with empty auth list".into())
}

/// Most blobs of one transaction: what a block may hold, and less since EIP-7594.
fn most_blobs(fork: Fork) -> u64 {
    if fork == Fork::Prague { 9 } else { 6 }
}

/// Rules of the chain. The block's gas limit is checked by us, deposits being exempt from it.
pub(super) fn cfg(env: &BlockEnv) -> CfgEnv {
    let mut cfg = CfgEnv::new_with_spec(spec_id(env.fork)).with_chain_id(env.chain_id);
    cfg.disable_block_gas_limit = true;
    cfg.max_blobs_per_tx = Some(most_blobs(env.fork));
    cfg
}

/// The block as contracts see it.
pub(super) fn block(env: &BlockEnv) -> RevmBlock {
    RevmBlock {
        number: U256::from(env.number),
        beneficiary: env.beneficiary,
        timestamp: U256::from(env.time_ms / 1000),
        gas_limit: env.gas_limit,
        basefee: env.base_fee,
        difficulty: env.difficulty,
        prevrandao: Some(env.mix_hash),
        blob_excess_gas_and_price: Some(BlobExcessGasAndPrice {
            excess_blob_gas: 0,
            blob_gasprice: env.blob_base_fee,
        }),
        slot_num: 0,
    }
}

/// A transaction as revm takes it. A deposit becomes a free legacy one.
pub(super) fn tx_env(tx: &Tx) -> TxEnv {
    let envelope = &tx.envelope;
    let deposit = tx.is_deposit();
    TxEnv {
        tx_type: if deposit { 0 } else { envelope.ty() },
        caller: tx.sender,
        gas_limit: envelope.gas_limit(),
        gas_price: if deposit { 0 } else { envelope.max_fee_per_gas() },
        kind: envelope.kind(),
        value: envelope.value(),
        data: envelope.input().clone(),
        nonce: envelope.nonce(),
        chain_id: envelope.chain_id(),
        access_list: envelope.access_list().cloned().unwrap_or_default(),
        gas_priority_fee: envelope.max_priority_fee_per_gas(),
        blob_hashes: envelope.blob_versioned_hashes().unwrap_or_default().to_vec(),
        max_fee_per_blob_gas: envelope.max_fee_per_blob_gas().unwrap_or_default(),
        authorization_list: envelope
            .authorization_list()
            .map(|list| list.iter().cloned().map(Either::Left).collect())
            .unwrap_or_default(),
    }
}

/// revm's error as ours; `reason` names what is wrong with the transaction, given the balance
/// revm saw if the error tells it.
pub(super) fn failure(error: Failure, reason: impl FnOnce(Invalid, U256) -> SkipReason) -> VmError {
    match error {
        EVMError::Transaction(invalid) => {
            let balance = match &invalid {
                Invalid::LackOfFundForMaxFee { balance, .. } => **balance,
                _ => U256::ZERO,
            };
            VmError::Invalid(reason(invalid, balance))
        }
        EVMError::Database(error) => VmError::State(error.0),
        other => VmError::Broken(other.to_string()),
    }
}

/// Why a signed transaction is invalid, in the chain's words.
pub(super) fn invalid_tx(found: Invalid, tx: &Tx, env: &BlockEnv, have: U256) -> SkipReason {
    let envelope = &tx.envelope;
    match found {
        Invalid::GasPriceLessThanBasefee => {
            SkipReason::FeeTooLow { max_fee: envelope.max_fee_per_gas(), base_fee: env.base_fee }
        }
        Invalid::OverflowPaymentInTransaction => {
            SkipReason::Funds { have, want: envelope::max_cost(tx) }
        }
        Invalid::CreateInitCodeSizeLimit => {
            SkipReason::InitCode { have: envelope.input().len(), most: MAX_INITCODE_SIZE }
        }
        Invalid::InvalidChainId => SkipReason::ChainId {
            have: envelope.chain_id().unwrap_or_default(),
            want: env.chain_id,
        },
        other => invalid(other),
    }
}

/// Why a call is invalid.
pub(super) fn invalid_call(found: Invalid, call: &Call, env: &BlockEnv, have: U256) -> SkipReason {
    match found {
        Invalid::GasPriceLessThanBasefee => {
            SkipReason::FeeTooLow { max_fee: call.gas_price, base_fee: env.base_fee }
        }
        Invalid::OverflowPaymentInTransaction => {
            SkipReason::Funds { have, want: super::call_cost(call) }
        }
        Invalid::CreateInitCodeSizeLimit => {
            SkipReason::InitCode { have: call.input.len(), most: MAX_INITCODE_SIZE }
        }
        other => invalid(other),
    }
}

/// The reasons that carry their own numbers.
fn invalid(invalid: Invalid) -> SkipReason {
    match invalid {
        Invalid::NonceTooLow { tx, state } => SkipReason::NonceTooLow { state, tx },
        Invalid::NonceTooHigh { tx, state } => SkipReason::NonceTooHigh { state, tx },
        Invalid::LackOfFundForMaxFee { fee, balance } => {
            SkipReason::Funds { have: *balance, want: *fee }
        }
        Invalid::PriorityFeeGreaterThanMaxFee => SkipReason::TipAboveFee,
        Invalid::CallGasCostMoreThanGasLimit { initial_gas, gas_limit } => {
            SkipReason::IntrinsicGas { have: gas_limit, want: initial_gas }
        }
        Invalid::GasFloorMoreThanGasLimit { gas_floor, gas_limit } => {
            SkipReason::IntrinsicGas { have: gas_limit, want: gas_floor }
        }
        Invalid::TxGasLimitGreaterThanCap { gas_limit, cap } => {
            SkipReason::GasLimit { have: gas_limit, most: cap }
        }
        Invalid::RejectCallerWithCode => SkipReason::SenderNotEoa,
        Invalid::NonceOverflowInTransaction => SkipReason::Other("nonce has max value".into()),
        Invalid::EmptyAuthorizationList => empty_authorizations(),
        Invalid::Eip7702NotSupported => TxError::Type.into(),
        other => SkipReason::Other(other.to_string()),
    }
}
