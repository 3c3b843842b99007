//! The ledger's second opinion: a table of accounts and the rules of the VM's documentation.

use std::collections::BTreeMap;

use alloy_consensus::Transaction;
use alloy_primitives::{Address, B256, KECCAK256_EMPTY, TxKind, U256};
use causeway_chainspec::{Fork, StateDiff, Tx, TxEnvelope};

use super::model::{Effect, Env, Full, Model, kind, max_fee};

/// Accounts by address; one that is empty does not exist.
#[derive(Clone)]
pub(super) struct Table(BTreeMap<Address, Full>);

impl Table {
    fn of(&mut self, address: Address) -> &mut Full {
        let empty = Full { code_hash: KECCAK256_EMPTY, ..Default::default() };
        self.0.entry(address).or_insert(empty)
    }

    fn move_wei(&mut self, from: Address, to: Address, wei: U256) -> Result<(), String> {
        let have = self.of(from).balance;
        if have < wei {
            return Err(funds(have, wei));
        }
        if self.of(to).code_hash != KECCAK256_EMPTY {
            return Err(unsupported("contract calls"));
        }
        self.of(from).balance -= wei;
        self.of(to).balance += wei;
        Ok(())
    }

    fn deposit(&mut self, tx: &Tx, to: TxKind, mint: u128) -> Effect {
        let (gas_limit, value) = (tx.envelope.gas_limit(), tx.envelope.value());
        let gas = gas_of(tx);
        let sender = self.of(tx.sender);
        let nonce = sender.nonce;
        sender.balance += U256::from(mint);
        sender.nonce += 1;
        let moved = match to {
            TxKind::Call(to) if gas <= gas_limit => self.move_wei(tx.sender, to, value).is_ok(),
            _ => false,
        };
        let gas_used = if moved { gas } else { gas_limit };
        Effect { success: moved, gas_used, logs: vec![], created: None, nonce }
    }
}

/// A transfer and its calldata by the floor of EIP-7623: ten a token, a byte that is not zero
/// being four tokens.
fn gas_of(tx: &Tx) -> u64 {
    21_000 + tx.envelope.input().iter().map(|byte| if *byte == 0 { 10 } else { 40 }).sum::<u64>()
}

fn funds(have: U256, want: U256) -> String {
    format!("insufficient funds for gas * price + value: have {have} want {want}")
}

fn unsupported(what: &str) -> String {
    format!("transaction not supported by this chain's vm: {what}")
}

/// What is wrong with a transaction whatever the state.
fn form(env: &Env, tx: &Tx) -> Option<String> {
    let envelope = &tx.envelope;
    let (gas_limit, want) = (envelope.gas_limit(), gas_of(tx));
    let most = if env.fork >= Fork::Osaka { env.gas_limit.min(1 << 24) } else { env.gas_limit };
    if let Some(have) = envelope.chain_id().filter(|id| *id != env.chain_id) {
        return Some(format!("invalid chain id for signer: have {have} want {}", env.chain_id));
    }
    if envelope.max_priority_fee_per_gas() > Some(max_fee(tx)) {
        return Some("max priority fee per gas higher than max fee per gas".into());
    }
    if gas_limit > most {
        return Some(format!("exceeds block gas limit: gas limit {gas_limit}, most {most}"));
    }
    if kind(tx) == 4 {
        return Some(unsupported("authorizations"));
    }
    if envelope.kind().is_create() {
        return Some(unsupported("creation"));
    }
    if envelope.access_list().is_some_and(|list| !list.is_empty()) {
        return Some(unsupported("access lists"));
    }
    (gas_limit < want).then(|| format!("intrinsic gas too low: have {gas_limit}, want {want}"))
}

impl Model for Table {
    const SAME_WORDS: bool = true;

    fn genesis(diff: &StateDiff) -> Self {
        let there = diff.accounts.iter().filter_map(|(address, made)| {
            let account = made.account?;
            let (nonce, balance) = (account.nonce, account.balance);
            let (code_hash, storage) = (account.get_bytecode_hash(), made.storage.clone());
            Some((*address, Full { nonce, balance, code_hash, storage }))
        });
        Self(there.collect())
    }

    fn run(&mut self, env: &Env, tx: &Tx) -> Result<Effect, String> {
        if let TxEnvelope::Deposit(deposit) = &tx.envelope {
            return Ok(self.deposit(tx, deposit.to, deposit.mint));
        }
        if let Some(reason) = form(env, tx) {
            return Err(reason);
        }
        let (max_fee, base_fee) = (max_fee(tx), u128::from(env.base_fee));
        if max_fee < base_fee {
            return Err(format!(
                "max fee per gas less than block base fee: maxFeePerGas: {max_fee}, \
                 baseFee: {base_fee}"
            ));
        }
        let Full { nonce: next, balance, .. } = *self.of(tx.sender);
        let nonce = tx.envelope.nonce();
        if nonce != next {
            let which = if nonce < next { "low" } else { "high" };
            return Err(format!("nonce too {which}: next nonce {next}, tx nonce {nonce}"));
        }
        let value = tx.envelope.value();
        let cost = U256::from(tx.envelope.gas_limit()) * U256::from(max_fee) + value;
        if balance < cost {
            return Err(funds(balance, cost));
        }
        let to = tx.envelope.to().expect("creations are refused above");
        self.move_wei(tx.sender, to, value)?;
        let gas_used = gas_of(tx);
        let tip = tx.envelope.max_priority_fee_per_gas().unwrap_or(max_fee);
        let tip = tip.min(max_fee - base_fee);
        let gas = U256::from(gas_used);
        let sender = self.of(tx.sender);
        sender.nonce += 1;
        sender.balance -= gas * U256::from(base_fee + tip);
        self.of(env.beneficiary).balance += gas * U256::from(tip);
        Ok(Effect { success: true, gas_used, logs: vec![], created: None, nonce: 0 })
    }

    fn everything(&self) -> BTreeMap<Address, Full> {
        let there = self.0.iter().filter(|(_, account)| {
            let bare = account.code_hash == KECCAK256_EMPTY;
            !(bare && account.nonce == 0 && account.balance.is_zero())
        });
        there.map(|(address, account)| (*address, account.clone())).collect()
    }

    fn set_slot(&mut self, address: Address, slot: U256, value: U256) {
        let storage = &mut self.of(address).storage;
        if value.is_zero() {
            storage.remove(&slot)
        } else {
            storage.insert(slot, value)
        };
    }

    fn know_block(&mut self, _: u64, _: B256) {}
}
