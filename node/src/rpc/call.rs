//! From a call request to what the VM takes: defaults, fees, state and block overrides.

use std::sync::Arc;

use alloy_primitives::{Address, TxKind, U256, keccak256};
use alloy_rpc_types_eth::state::{AccountOverride, StateOverride};
use alloy_rpc_types_eth::{BlockOverrides, TransactionRequest};
use causeway_chainspec::{
    Account, AccountDiff, BlockEnv, SkipReason, StateDiff, StateReader, TxError,
};
use causeway_execution::{Call, CallOutput};

use super::error::{RpcError, RpcResult};
use super::table::{Api, Args};
use super::target;

/// Most slots that one request may override.
const MAX_OVERRIDE_SLOTS: usize = 100_000;

/// A call ready to run.
pub(crate) struct Prepared {
    /// State below the overrides.
    pub(crate) state: Arc<dyn StateReader>,
    /// Block it runs in.
    pub(crate) env: BlockEnv,
    /// The call; its gas limit is what was asked for, within the cap, or the cap.
    pub(crate) call: Call,
    /// Gas limit that was asked for.
    pub(crate) gas: Option<u64>,
    /// Most the caller would pay, wei per gas; 0 if it named no price.
    pub(crate) fee_cap: u128,
}

impl Prepared {
    /// Reads `[request, block?, state overrides?, block overrides?]`.
    pub(crate) fn new(api: &Api, args: &Args) -> RpcResult<Self> {
        let request: TransactionRequest = args.need(0, "transaction")?;
        let blobs = request.has_eip4844_fields() || request.transaction_type == Some(3);
        if blobs && api.backend.ethereum().is_none() {
            return Err(TxError::Blob.into());
        }
        let at = args.option(1, "block")?;
        let overrides = args.option::<StateOverride>(2, "state overrides")?.unwrap_or_default();
        let block_overrides = args.option::<BlockOverrides>(3, "block overrides")?;
        Self::on(api, target::base(api, at)?, request, overrides, block_overrides)
    }

    /// The same on a state and in a block that are known already.
    pub(crate) fn on(
        api: &Api,
        (state, mut env): (Arc<dyn StateReader>, BlockEnv),
        request: TransactionRequest,
        overrides: StateOverride,
        block_overrides: Option<BlockOverrides>,
    ) -> RpcResult<Self> {
        if let Some(changes) = block_overrides {
            override_block(&mut env, changes)?;
        }
        let (gas_price, fee_cap) = fees(&request, env.base_fee)?;
        let overrides = override_state(&*state, overrides)?;
        let gas = request.gas.filter(|gas| *gas > 0);
        let gas_limit = gas.unwrap_or(api.config.call_gas).min(api.config.call_gas);
        let call = Call { gas_limit, gas_price, overrides, ..to_call(request, env.chain_id)? };
        Ok(Self { state, env, call, gas, fee_cap })
    }

    /// Runs it on the VM.
    pub(crate) fn run(&self, api: &Api) -> RpcResult<CallOutput> {
        Ok(api.backend.vm().call(&*self.state, &self.env, &self.call)?)
    }

    /// An account as the call will see it.
    pub(crate) fn account(&self, address: Address) -> RpcResult<Account> {
        let account = match self.call.overrides.accounts.get(&address) {
            Some(diff) => diff.account,
            None => self.state.account(address)?,
        };
        Ok(account.unwrap_or_default())
    }
}

/// The parts of a call that need no block.
pub(crate) fn to_call(request: TransactionRequest, chain_id: u64) -> RpcResult<Call> {
    if let Some(have) = request.chain_id.filter(|have| *have != chain_id) {
        return Err(SkipReason::ChainId { have, want: chain_id }.into());
    }
    let input = request.input.try_into_unique_input().map_err(|_| {
        RpcError::params("both \"data\" and \"input\" are set and not equal: use \"input\"")
    })?;
    Ok(Call {
        from: request.from.unwrap_or_default(),
        to: request.to.unwrap_or(TxKind::Create),
        value: request.value.unwrap_or_default(),
        nonce: request.nonce,
        input: input.unwrap_or_default(),
        access_list: request.access_list.unwrap_or_default(),
        blob_hashes: request.blob_versioned_hashes.unwrap_or_default(),
        max_blob_fee: request.max_fee_per_blob_gas.unwrap_or_default(),
        authorizations: request.authorization_list.unwrap_or_default(),
        ..Call::default()
    })
}

/// Price per gas that the call pays, and the most it offers; both 0 if it names none, which
/// charges nothing.
pub(crate) fn fees(request: &TransactionRequest, base_fee: u64) -> RpcResult<(u128, u128)> {
    let (legacy, max_fee, tip) =
        (request.gas_price, request.max_fee_per_gas, request.max_priority_fee_per_gas);
    let (cap, tip) = match (legacy, max_fee, tip) {
        (Some(_), Some(_), _) | (Some(_), _, Some(_)) => {
            return Err(RpcError::params(
                "both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified",
            ));
        }
        (Some(price), None, None) => (price, price),
        (None, None, None | Some(0)) => return Ok((0, 0)),
        (None, None, Some(tip)) => (u128::from(base_fee).saturating_add(tip), tip),
        (None, Some(cap), tip) => (cap, tip.unwrap_or(0)),
    };
    if cap == 0 {
        return Ok((0, 0));
    }
    if cap < u128::from(base_fee) {
        return Err(SkipReason::FeeTooLow { max_fee: cap, base_fee }.into());
    }
    if tip > cap {
        return Err(SkipReason::TipAboveFee.into());
    }
    Ok((cap.min(u128::from(base_fee).saturating_add(tip)), cap))
}

pub(crate) fn override_block(env: &mut BlockEnv, changes: BlockOverrides) -> RpcResult<()> {
    if changes.block_hash.is_some_and(|hashes| !hashes.is_empty()) {
        return Err(RpcError::params("block overrides: blockHash is not supported"));
    }
    let small = |name: &str, value: U256| {
        u64::try_from(value)
            .map_err(|_| RpcError::params(format!("block overrides: {name} is above 64 bits")))
    };
    if let Some(number) = changes.number {
        env.number = small("number", number)?;
    }
    if let Some(seconds) = changes.time {
        env.time_ms = seconds.saturating_mul(1000);
    }
    if let Some(limit) = changes.gas_limit {
        env.gas_limit = limit;
        env.gas_available = limit;
    }
    if let Some(fee) = changes.base_fee {
        env.base_fee = small("baseFeePerGas", fee)?;
    }
    env.beneficiary = changes.coinbase.unwrap_or(env.beneficiary);
    env.mix_hash = changes.random.unwrap_or(env.mix_hash);
    Ok(())
}

pub(crate) fn override_state(
    state: &dyn StateReader,
    overrides: StateOverride,
) -> RpcResult<StateDiff> {
    let slots: usize = overrides
        .values()
        .flat_map(|account| [&account.state, &account.state_diff])
        .map(|slots| slots.as_ref().map_or(0, |slots| slots.len()))
        .sum();
    if slots > MAX_OVERRIDE_SLOTS {
        return Err(RpcError::params(format!(
            "state overrides: {slots} slots, most {MAX_OVERRIDE_SLOTS}"
        )));
    }
    let mut diff = StateDiff::default();
    for (address, changes) in overrides {
        override_account(state, &mut diff, address, changes)?;
    }
    Ok(diff)
}

fn override_account(
    state: &dyn StateReader,
    diff: &mut StateDiff,
    address: Address,
    changes: AccountOverride,
) -> RpcResult<()> {
    if changes.state.is_some() && changes.state_diff.is_some() {
        return Err(RpcError::params(format!(
            "state overrides: account {address} has both 'state' and 'stateDiff'"
        )));
    }
    if changes.move_precompile_to.is_some() {
        return Err(RpcError::params("state overrides: movePrecompileToAddress is not supported"));
    }
    let mut account = state.account(address)?.unwrap_or_default();
    account.balance = changes.balance.unwrap_or(account.balance);
    account.nonce = changes.nonce.unwrap_or(account.nonce);
    if let Some(code) = changes.code {
        let hash = keccak256(&code);
        account.bytecode_hash = Some(hash).filter(|_| !code.is_empty());
        diff.codes.insert(hash, code);
    }
    let wiped = changes.state.is_some();
    let storage = changes.state.or(changes.state_diff).unwrap_or_default();
    let storage = storage.into_iter().map(|(slot, value)| (slot.into(), value.into())).collect();
    diff.accounts.insert(address, AccountDiff { account: Some(account), wiped, storage });
    Ok(())
}
