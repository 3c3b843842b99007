//! The EVM's second opinion: revm's own handler on its own in-memory database.

use std::collections::BTreeMap;

use alloy_consensus::Transaction;
use alloy_primitives::{Address, B256, KECCAK256_EMPTY, U256};
use causeway_chainspec::{Fork, StateDiff, Tx, TxEnvelope};
use revm::context::{CfgEnv, Context, TxEnv};
use revm::context_interface::block::BlobExcessGasAndPrice;
use revm::context_interface::either::Either;
use revm::database::{AccountState, CacheDB, EmptyDB};
use revm::primitives::hardfork::SpecId;
use revm::state::{AccountInfo, Bytecode};
use revm::{ExecuteCommitEvm, MainBuilder, MainContext};

use super::model::{Effect, Env, Full, Model, kind, max_fee};

/// revm as it comes.
#[derive(Clone)]
pub(super) struct Stock(CacheDB<EmptyDB>);

fn exists(info: &AccountInfo) -> bool {
    !(info.nonce == 0 && info.balance.is_zero() && info.code_hash == KECCAK256_EMPTY)
}

impl Stock {
    fn info(&mut self, address: Address) -> &mut AccountInfo {
        let account = self.0.load_account(address).expect("memory is readable");
        if account.account_state == AccountState::NotExisting {
            account.account_state = AccountState::StorageCleared;
        }
        &mut account.info
    }

    /// A deposit by the rules of the OP stack, around a free transaction.
    fn deposit(&mut self, env: &Env, tx: &Tx, mint: u128) -> Effect {
        let sender = self.info(tx.sender);
        let nonce = sender.nonce;
        sender.balance += U256::from(mint);
        let tx_env = TxEnv { nonce, gas_price: 0, gas_priority_fee: None, ..tx_env(tx) };
        let mut cfg = cfg(env);
        cfg.disable_base_fee = true;
        cfg.disable_eip3607 = true;
        cfg.disable_block_gas_limit = true;
        cfg.tx_gas_limit_cap = Some(u64::MAX);
        match self.transact(env, cfg, tx_env) {
            Ok(effect) => Effect { nonce, ..effect },
            Err(_) => {
                self.info(tx.sender).nonce += 1;
                let gas_used = tx.envelope.gas_limit();
                Effect { success: false, gas_used, logs: vec![], created: None, nonce }
            }
        }
    }

    fn transact(&mut self, env: &Env, cfg: CfgEnv, tx: TxEnv) -> Result<Effect, String> {
        let mut evm = Context::mainnet()
            .with_cfg(cfg)
            .with_db(&mut self.0)
            .modify_block_chained(|block| {
                block.number = U256::from(env.number);
                block.beneficiary = env.beneficiary;
                block.timestamp = U256::from(env.time_ms / 1000);
                block.gas_limit = env.gas_limit;
                block.basefee = env.base_fee;
                block.prevrandao = Some(env.mix_hash);
                let excess_blob_gas = 0;
                block.blob_excess_gas_and_price =
                    Some(BlobExcessGasAndPrice { excess_blob_gas, blob_gasprice: 1 });
            })
            .build_mainnet();
        let result = evm.transact_commit(tx).map_err(|error| error.to_string())?;
        let success = result.is_success();
        let logs = if success { result.logs().to_vec() } else { vec![] };
        let gas_used = result.tx_gas_used();
        Ok(Effect { success, gas_used, logs, created: None, nonce: 0 })
    }
}

fn cfg(env: &Env) -> CfgEnv {
    let spec = match env.fork {
        Fork::Prague => SpecId::PRAGUE,
        Fork::Osaka => SpecId::OSAKA,
        other => panic!("no chain of ours has {other:?}"),
    };
    CfgEnv::new_with_spec(spec).with_chain_id(env.chain_id)
}

fn tx_env(tx: &Tx) -> TxEnv {
    let envelope = &tx.envelope;
    TxEnv {
        tx_type: if tx.is_deposit() { 0 } else { kind(tx) },
        caller: tx.sender,
        gas_limit: envelope.gas_limit(),
        gas_price: max_fee(tx),
        kind: envelope.kind(),
        value: envelope.value(),
        data: envelope.input().clone(),
        nonce: envelope.nonce(),
        chain_id: envelope.chain_id(),
        access_list: envelope.access_list().cloned().unwrap_or_default(),
        gas_priority_fee: envelope.max_priority_fee_per_gas(),
        authorization_list: envelope
            .authorization_list()
            .map(|list| list.iter().cloned().map(Either::Left).collect())
            .unwrap_or_default(),
        ..Default::default()
    }
}

impl Model for Stock {
    const SAME_WORDS: bool = false;

    fn genesis(diff: &StateDiff) -> Self {
        let mut db = CacheDB::new(EmptyDB::default());
        for (address, made) in &diff.accounts {
            let Some(account) = made.account else { continue };
            let code = account.bytecode_hash.map(|hash| diff.codes[&hash].clone());
            let info = AccountInfo {
                balance: account.balance,
                nonce: account.nonce,
                code_hash: account.get_bytecode_hash(),
                code: code.map(Bytecode::new_raw),
                ..Default::default()
            };
            db.insert_account_info(*address, info);
            for (slot, value) in &made.storage {
                db.insert_account_storage(*address, *slot, *value).expect("memory is writable");
            }
        }
        Self(db)
    }

    fn run(&mut self, env: &Env, tx: &Tx) -> Result<Effect, String> {
        if let TxEnvelope::Deposit(deposit) = &tx.envelope {
            return Ok(self.deposit(env, tx, deposit.mint));
        }
        let effect = self.transact(env, cfg(env), tx_env(tx))?;
        let created = tx.envelope.kind().is_create();
        let created = created.then(|| tx.sender.create(tx.envelope.nonce()));
        Ok(Effect { created, ..effect })
    }

    fn everything(&self) -> BTreeMap<Address, Full> {
        let accounts = self.0.cache.accounts.iter();
        let there = accounts.filter_map(|(address, account)| {
            let info = account.info().filter(exists)?;
            let storage = account.storage.iter().filter(|(_, value)| !value.is_zero());
            let storage = storage.map(|(key, value)| (*key, *value)).collect();
            let AccountInfo { nonce, balance, code_hash, .. } = info;
            Some((*address, Full { nonce, balance, code_hash, storage }))
        });
        there.collect()
    }

    fn set_slot(&mut self, address: Address, slot: U256, value: U256) {
        self.0.insert_account_storage(address, slot, value).expect("memory is writable");
    }

    fn know_block(&mut self, number: u64, hash: B256) {
        self.0.cache.block_hashes.insert(U256::from(number), hash);
    }
}
