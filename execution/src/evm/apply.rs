//! Calls whose changes are kept, for simulations.

use causeway_chainspec::{BlockEnv, StateDiff};
use revm::Inspector;
use revm_inspectors::transfer::TransferInspector;

use super::frames::{self, Context, Driver, Engine};
use super::state::Db;
use super::{call_output, rules, set_call};
use crate::{Applied, Call, CallOutput, VmError};

/// Makes a call as [`crate::Vm::apply`] promises.
pub(super) fn apply(
    mut db: Db<'_>,
    env: &BlockEnv,
    call: &Call,
    how: Applied,
) -> Result<(CallOutput, StateDiff), VmError> {
    db.overlay(&call.overrides);
    if how.transfers {
        let inspector = TransferInspector::new(false).with_logs(true);
        run(frames::watched(db, env, inspector), env, call, how)
    } else {
        run(frames::watched(db, env, revm::inspector::NoOpInspector), env, call, how)
    }
}

fn run<'a, I: Inspector<Context<'a>>>(
    mut engine: Engine<'a, I>,
    env: &BlockEnv,
    call: &Call,
    how: Applied,
) -> Result<(CallOutput, StateDiff), VmError> {
    set_call(&mut engine, env, call);
    let sender = frames::db(&mut engine).account(call.from).map_err(|error| error.0)?;
    let next = sender.map_or(0, |sender| sender.nonce);
    engine.ctx.tx.nonce = call.nonce.unwrap_or(next);
    if how.validate {
        engine.ctx.cfg.disable_nonce_check = false;
        engine.ctx.block.basefee = env.base_fee;
    } else if engine.ctx.tx.nonce != next {
        let nonce = engine.ctx.tx.nonce;
        frames::db(&mut engine).update(call.from, |info| info.nonce = nonce)?;
    }
    let mut driver = Driver::default();
    let output = match driver.inspect(&mut engine) {
        Ok(result) => call_output(result, driver.refund.get(), driver.bad_opcode),
        Err(error) => {
            return Err(rules::failure(error, |invalid, have| {
                rules::invalid_call(invalid, call, env, have)
            }));
        }
    };
    let changes = frames::take_state(&mut engine);
    let db = frames::db(&mut engine);
    db.commit(changes);
    Ok((output, db.diff()?))
}
