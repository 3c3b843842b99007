//! A VM that does what call data says.

use std::sync::Arc;

use alloy_primitives::{Address, Bytes, TxKind, U256};
use causeway_chainspec::{BlockEnv, SkipReason, StateDiff, StateReader, Tx};
use causeway_execution::vm::CallResult;
use causeway_execution::{BlockOutput, Call, CallOutput, Stop, TxFacts, Vm, VmError};
use parking_lot::Mutex;

/// Solidity's `Error("user error")`.
pub(super) const USER_ERROR: &str = "0x08c379a0\
    0000000000000000000000000000000000000000000000000000000000000020\
    000000000000000000000000000000000000000000000000000000000000000a\
    75736572206572726f7200000000000000000000000000000000000000000000";
/// Solidity's `Panic(1)`.
pub(super) const ASSERT: &str = "0x4e487b71\
    0000000000000000000000000000000000000000000000000000000000000001";
/// Least gas limit with which call data 0x06 succeeds.
pub(super) const HUNGRY_GAS: u64 = 61_234;

/// Does what the first byte of call data says.
pub(super) struct FakeVm {
    /// Held by a test, makes call data 0x0a wait.
    pub(super) gate: Arc<Mutex<()>>,
}

impl FakeVm {
    /// What call data 0x05 returns: the environment as the callee sees it, a word each.
    fn seen(env: &BlockEnv, call: &Call) -> Bytes {
        let words = [
            env.number,
            env.time_ms / 1000,
            env.base_fee,
            call.gas_price as u64,
            call.gas_limit,
            call.value.to(),
        ];
        words.iter().flat_map(|word| U256::from(*word).to_be_bytes::<32>()).collect()
    }
}

impl Vm for FakeVm {
    fn check(&self, _tx: &Tx, _env: &BlockEnv) -> Result<TxFacts, SkipReason> {
        unreachable!("the RPC leaves checks to the pool")
    }
    fn execute(
        &self,
        _state: &dyn StateReader,
        _env: &BlockEnv,
        _txs: &[Arc<Tx>],
        _stop: &Stop,
    ) -> Result<BlockOutput, VmError> {
        unreachable!("the RPC executes no blocks")
    }
    fn preinstall(
        &self,
        _state: &dyn StateReader,
        _env: &BlockEnv,
        _address: Address,
        _creation_code: &Bytes,
    ) -> Result<StateDiff, VmError> {
        unreachable!("the RPC makes no genesis")
    }

    fn call(
        &self,
        state: &dyn StateReader,
        env: &BlockEnv,
        call: &Call,
    ) -> Result<CallOutput, VmError> {
        let output = |result, gas_used, output: Bytes| {
            Ok(CallOutput {
                result,
                gas_used,
                gas_refunded: 0,
                output,
                logs: Vec::new(),
                created: None,
            })
        };
        let reverted = |data: &str| output(CallResult::Revert, 22_000, data.parse().unwrap());
        let halted =
            |why: &str| output(CallResult::Halt(why.to_owned()), call.gas_limit, Bytes::new());
        if call.gas_limit < 21_000 {
            let (have, want) = (call.gas_limit, 21_000);
            return Err(SkipReason::IntrinsicGas { have, want }.into());
        }
        match call.input.first() {
            None => output(CallResult::Success, 21_000, Bytes::new()),
            Some(0x00) => reverted(ASSERT),
            Some(0x01) => reverted(USER_ERROR),
            Some(0x02) => reverted("0x"),
            Some(0x03) => halted("OutOfGas(Basic)"),
            Some(0x04) => halted("invalid opcode: INVALID"),
            Some(0x05) => output(CallResult::Success, 22_000, Self::seen(env, call)),
            Some(0x06) if call.gas_limit < HUNGRY_GAS => halted("out of gas"),
            Some(0x06) => output(CallResult::Success, 50_000, Bytes::new()),
            Some(0x07) => {
                let TxKind::Call(to) = call.to else { unreachable!() };
                let slot = U256::from(1);
                let own = call.overrides.accounts.get(&to);
                let value = match own.and_then(|diff| diff.storage.get(&slot)) {
                    Some(value) => *value,
                    None if own.is_some_and(|diff| diff.wiped) => U256::ZERO,
                    None => state.slot(to, slot)?,
                };
                let balance = match own {
                    Some(diff) => diff.account.unwrap_or_default().balance,
                    None => state.account(to)?.unwrap_or_default().balance,
                };
                let data = [value.to_be_bytes::<32>(), balance.to_be_bytes::<32>()].concat();
                output(CallResult::Success, 22_000, data.into())
            }
            Some(0x08) => {
                Err(SkipReason::Funds { have: U256::from(1), want: U256::from(2) }.into())
            }
            Some(0x09) => panic!("a bug in a VM"),
            Some(0x0a) => {
                drop(self.gate.lock());
                output(CallResult::Success, 22_000, Bytes::new())
            }
            Some(_) => Err(VmError::Broken("path /secret".into())),
        }
    }
}
