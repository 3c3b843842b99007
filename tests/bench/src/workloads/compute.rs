//! Contracts that compute and store nothing, on the node's VM and in raw revm, one after the other.

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes};
use causeway_chainspec::spec::GenesisAccount;
use causeway_chainspec::{BlockEnv, StateReader, Tx};
use causeway_execution::{Stop, Vm};
use eyre::ensure;
use revm::bytecode::opcode::*;
use revm::context::TxEnv;
use tempfile::TempDir;

use crate::bench::Bench;
use crate::limits::costs::thread_us;
use crate::made::{self, Line};
use crate::raw::{Raw, tx_env};
use crate::report::{Goal, Row, Section};

/// Gas of a transaction: a little below the most that Osaka allows (EIP-7825).
const GAS: u64 = 16_000_000;
/// A loop ends when this is left.
const REST: u16 = 20_000;

/// What is measured: a name, and runtime code that burns its gas.
fn contracts() -> Vec<(&'static str, Bytes)> {
    vec![("arithmetic", arithmetic()), ("keccak", keccak()), ("modexp", modexp())]
        .into_iter()
        .map(|(name, code)| (name, code.into()))
        .collect()
}

/// `body` again and again while gas is left, then the end. `before` runs once, where it stands.
fn looped(before: &[u8], body: &[u8]) -> Vec<u8> {
    let [high, low] = (before.len() as u16).to_be_bytes();
    let [rest_high, rest_low] = REST.to_be_bytes();
    let end = [GAS_OP, PUSH2, rest_high, rest_low, LT, PUSH2, high, low, JUMPI, STOP];
    [before, &[JUMPDEST], body, &end].concat()
}

/// The opcode, beside the constant of its name.
const GAS_OP: u8 = revm::bytecode::opcode::GAS;

/// Fixed-point arithmetic as a ray tracer has it: a random number, a square, a signed division, a
/// square root by Newton's steps in a function, and a little memory.
fn arithmetic() -> Vec<u8> {
    // [return to, y] -> [root]
    let mut root = vec![JUMPDEST, PUSH2, 0x7b, 0x87];
    for _ in 0..4 {
        root.extend([DUP1, DUP3, SDIV, ADD, PUSH1, 1, SHR]);
    }
    root.extend([SWAP1, POP, SWAP1, JUMP]);
    const FUNCTION: u8 = 4;
    let start = (usize::from(FUNCTION) + root.len()) as u8;
    let before = [&[PUSH1, start, JUMP, STOP][..], &root].concat();
    let mut body = vec![PUSH1, 0, MLOAD];
    // seed = (seed * 1103515245 + 12345) & 0x7fffffff
    body.extend([PUSH4, 0x41, 0xc6, 0x4e, 0x6d, MUL, PUSH2, 0x30, 0x39, ADD]);
    body.extend([PUSH4, 0x7f, 0xff, 0xff, 0xff, AND, DUP1, PUSH1, 0, MSTORE]);
    // x = seed % 2000001 - 1000000
    body.extend([PUSH3, 0x1e, 0x84, 0x81, SWAP1, MOD, PUSH3, 0x0f, 0x42, 0x40, SWAP1, SUB]);
    // y = x * x / 1000000 + 1000000000
    body.extend([DUP1, DUP1, MUL, PUSH3, 0x0f, 0x42, 0x40, SWAP1, SDIV]);
    body.extend([PUSH4, 0x3b, 0x9a, 0xca, 0x00, ADD]);
    // [x, return to, y], and on with [x, root]
    let back = before.len() + 1 + body.len() + 8;
    let [high, low] = (back as u16).to_be_bytes();
    body.extend([PUSH2, high, low, SWAP1, PUSH1, FUNCTION, JUMP, STOP, JUMPDEST]);
    body.extend([MUL, PUSH1, 32, MLOAD, XOR, PUSH1, 32, MSTORE]);
    looped(&before, &body)
}

/// A chain of hashes of 64 bytes.
fn keccak() -> Vec<u8> {
    looped(&[], &[PUSH1, 64, PUSH1, 0, KECCAK256, PUSH1, 0, MSTORE])
}

/// A chain of modular powers of 256 bits, by the precompile.
fn modexp() -> Vec<u8> {
    let mut before = Vec::new();
    for (at, word) in [
        B256::with_last_byte(32),
        B256::with_last_byte(32),
        B256::with_last_byte(32),
        B256::repeat_byte(3),
        B256::repeat_byte(0xa7),
        B256::repeat_byte(0xfd),
    ]
    .iter()
    .enumerate()
    {
        before.push(PUSH32);
        before.extend(word);
        before.extend([PUSH1, 32 * at as u8, MSTORE]);
    }
    let body = [PUSH1, 32, PUSH1, 96, PUSH1, 192, PUSH1, 0, PUSH1, 5, GAS_OP, STATICCALL, POP];
    looped(&before, &body)
}

/// One contract on both sides.
struct Pair {
    vm: Arc<dyn Vm>,
    state: Arc<dyn StateReader>,
    env: BlockEnv,
    txs: Vec<Arc<Tx>>,
    raw_txs: Vec<TxEnv>,
    genesis: Vec<(Address, GenesisAccount)>,
}

impl Pair {
    /// The node's VM on the block; (gas, CPU us).
    fn ours(&self) -> eyre::Result<(u64, f64)> {
        let before = thread_us();
        let output = self.vm.execute(&*self.state, &self.env, &self.txs, &Stop::never())?;
        let spent = thread_us() - before;
        ensure!(output.receipts.len() == self.txs.len(), "some transactions were skipped");
        ensure!(output.receipts.iter().all(|receipt| receipt.success), "a transaction failed");
        Ok((output.gas_used, spent))
    }

    /// Raw revm on the same; (gas, CPU us).
    fn raw(&self) -> eyre::Result<(u64, f64)> {
        let accounts = self.genesis.iter().map(|(address, account)| (address, account));
        let mut raw = Raw::new(&self.env, accounts)?;
        let before = thread_us();
        let gas = raw.run_all(&self.raw_txs)?;
        Ok((gas, thread_us() - before))
    }
}

/// A chain with the contracts, on which nothing has happened.
fn open(dir: &TempDir) -> eyre::Result<(Line, Vec<(Address, GenesisAccount)>)> {
    let account = |code| GenesisAccount { nonce: 1, code, ..Default::default() };
    let contracts: Vec<_> = contracts()
        .into_iter()
        .zip(1..)
        .map(|((_, code), index)| (Address::with_last_byte(0xc0 + index), account(code)))
        .collect();
    let spec = Arc::new(made::spec(0, &made::senders(1), 0, &contracts)?);
    let genesis = spec.genesis.alloc.clone().into_iter().collect();
    Ok((Line::open(dir.path(), spec, 16 << 20)?, genesis))
}

fn pair(
    line: &Line,
    genesis: &[(Address, GenesisAccount)],
    contract: Address,
    count: u64,
) -> eyre::Result<Pair> {
    let key = made::sender(0);
    let raw: Vec<_> =
        (0..count).map(|nonce| made::call(&key, nonce, contract, GAS, Bytes::new())).collect();
    let txs = made::decode(&raw)?;
    let claim = line.plan(txs.clone()).claim;
    let env = line.pipeline.env(claim.parent, claim.number, claim.time_ms, claim.mix_hash())?;
    Ok(Pair {
        vm: line.pipeline.vm().clone(),
        state: line.pipeline.state_of(claim.parent)?,
        raw_txs: txs.iter().map(|tx| tx_env(tx)).collect::<eyre::Result<_>>()?,
        env,
        txs,
        genesis: genesis.to_vec(),
    })
}

/// The workload `w4-compute`.
pub fn run(bench: &Bench, section: &mut Section) -> eyre::Result<()> {
    section.title = "Compute: contracts that burn gas, on the node's VM and in raw revm".into();
    let count = bench.size.pick(2, 10);
    let rounds = bench.pairs.max(bench.size.pick(3, 7));
    let dir = TempDir::new()?;
    let (line, genesis) = open(&dir)?;
    for ((name, _), index) in contracts().into_iter().zip(1..) {
        let pair = pair(&line, &genesis, Address::with_last_byte(0xc0 + index), count)?;
        pair.ours()?;
        let (mut ours, mut raw) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let (gas, us) = pair.ours()?;
            let (raw_gas, raw_us) = pair.raw()?;
            ensure!(gas == raw_gas, "{name}: {gas} gas here, {raw_gas} in raw revm");
            ours.push(gas as f64 / us);
            raw.push(raw_gas as f64 / raw_us);
        }
        section.row(Row::new(format!("{name}: node's VM"), "Mgas/s", ours.clone()));
        section.row(Row::new(format!("{name}: raw revm"), "Mgas/s", raw.clone()));
        let percent = ours.iter().zip(&raw).map(|(ours, raw)| 100.0 * ours / raw).collect();
        section.row(
            Row::new(format!("{name}: node's VM of raw revm"), "%", percent)
                .goal(Goal::AtLeast(95.0)),
        );
    }
    section.note(format!(
        "blocks of {count} transactions of {} M gas; one thread, in its CPU time; interleaved",
        GAS / 1_000_000
    ));
    Ok(())
}

/// Transactions that compute, for other workloads: the contracts, and calls of the first of them.
pub fn computing(
    key: &alloy_signer_local::PrivateKeySigner,
    count: u64,
) -> ((Address, GenesisAccount), Vec<Bytes>) {
    let contract = Address::with_last_byte(0xc1);
    let account = GenesisAccount { nonce: 1, code: arithmetic().into(), ..Default::default() };
    let call = |nonce| made::call(key, nonce, contract, GAS, Bytes::new());
    ((contract, account), (0..count).map(call).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_contract_burns_its_gas_and_both_machines_agree() {
        let dir = TempDir::new().unwrap();
        let (line, genesis) = open(&dir).unwrap();
        for index in 1..=contracts().len() as u8 {
            let pair = pair(&line, &genesis, Address::with_last_byte(0xc0 + index), 1).unwrap();
            let (gas, _) = pair.ours().unwrap();
            assert_eq!(gas, pair.raw().unwrap().0);
            let rest = u64::from(REST);
            assert!((GAS - rest - 10_000..=GAS - rest + 1_000).contains(&gas), "{index}: {gas}");
        }
    }
}
