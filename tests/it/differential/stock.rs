//! The EVM's model: revm's own handler over revm's own database in memory, transaction by
//! transaction.

use alloy_consensus::Transaction;
use alloy_primitives::{Address, Bytes, U256};
use causeway_chainspec::{Fork, Tx, TxEnvelope};
use causeway_execution::vm::CallResult;
use causeway_execution::{Call, CallOutput};
use revm::context::{CfgEnv, Context, TxEnv};
use revm::context_interface::block::BlobExcessGasAndPrice;
use revm::context_interface::either::Either;
use revm::context_interface::result::{ExecutionResult, HaltReason};
use revm::database::{AccountState, CacheDB, EmptyDB};
use revm::handler::MainnetContext;
use revm::primitives::hardfork::SpecId;
use revm::state::{AccountInfo, Bytecode};
use revm::{Database, DatabaseCommit, ExecuteEvm, MainBuilder, MainContext};

use super::machine::{Head, Machine, Model, Verdict};
use super::state::{Entry, State};

/// Forks of own chains as revm names them.
pub(super) const FORKS: [(Fork, SpecId); 5] = [
    (Fork::Paris, SpecId::MERGE),
    (Fork::Shanghai, SpecId::SHANGHAI),
    (Fork::Cancun, SpecId::CANCUN),
    (Fork::Prague, SpecId::PRAGUE),
    (Fork::Osaka, SpecId::OSAKA),
];

type Memory = CacheDB<EmptyDB>;

/// Plain revm.
pub(super) struct Stock;

impl Model for Stock {
    fn vm(&self) -> &'static str {
        "evm"
    }

    fn open(&self, state: State, head: &Head) -> Box<dyn Machine> {
        Box::new(Running { db: memory(state, head), head: head.clone(), destroyed: 0 })
    }

    fn call(&self, state: &State, head: &Head, call: &Call) -> Option<CallOutput> {
        let mut context = context(memory(state.clone(), head), head);
        context.cfg.disable_nonce_check = true;
        context.cfg.disable_eip3607 = true;
        context.cfg.disable_block_gas_limit = true;
        context.cfg.tx_gas_limit_cap = Some(u64::MAX);
        if call.gas_price == 0 {
            context.block.basefee = 0;
        }
        let tx = TxEnv {
            caller: call.from,
            gas_limit: call.gas_limit,
            gas_price: call.gas_price,
            kind: call.to,
            value: call.value,
            data: call.input.clone(),
            chain_id: Some(head.chain_id),
            ..Default::default()
        };
        let result = context.build_mainnet().transact(tx).ok()?.result;
        let gas_used = result.tx_gas_used();
        let (created, logs) = (result.created_address(), result.logs().to_vec());
        let output = result.output().cloned().unwrap_or_default();
        let (result, logs) = match result {
            ExecutionResult::Success { .. } => (CallResult::Success, logs),
            ExecutionResult::Revert { .. } => (CallResult::Revert, Vec::new()),
            ExecutionResult::Halt { reason, .. } => (CallResult::Halt(words(&reason)), Vec::new()),
        };
        Some(CallOutput { result, gas_used, gas_refunded: 0, output, logs, created })
    }
}

/// Enough of a reason to compare: whether gas ran out.
pub(super) fn words(reason: &HaltReason) -> String {
    let out = matches!(reason, HaltReason::OutOfGas(_));
    if out { "out of gas" } else { "something else" }.into()
}

struct Running {
    db: Memory,
    head: Head,
    destroyed: u64,
}

impl Machine for Running {
    fn account(&mut self, address: Address) -> Entry {
        let info = self.db.basic(address).expect("memory is readable").unwrap_or_default();
        let code = self.db.code_by_hash(info.code_hash).expect("memory is readable");
        let code = code.original_bytes();
        Entry { nonce: info.nonce, balance: info.balance, code, ..Default::default() }
    }

    fn run(&mut self, tx: &Tx) -> Verdict {
        let verdict = match &tx.envelope {
            TxEnvelope::Deposit(deposit) => self.deposit(tx, deposit.mint),
            _ => self.signed(tx),
        };
        // revm leaves it to its database to forget touched accounts that are empty (EIP-161), and
        // this one keeps them: a later EIP-7702 authority would count as one that exists.
        for account in self.db.cache.accounts.values_mut().filter(|it| it.info.is_empty()) {
            account.account_state = AccountState::NotExisting;
            account.storage.clear();
        }
        verdict
    }

    fn state(&self) -> State {
        let mut state = State::default();
        for (address, account) in &self.db.cache.accounts {
            let Some(info) = account.info().filter(|info| !info.is_empty()) else { continue };
            let code = &self.db.cache.contracts[&info.code_hash];
            let slots = account.storage.iter().filter(|(_, value)| !value.is_zero());
            let entry = Entry {
                nonce: info.nonce,
                balance: info.balance,
                code: code.original_bytes(),
                storage: slots.map(|(key, value)| (*key, *value)).collect(),
            };
            state.0.insert(*address, entry);
        }
        state
    }

    fn destroyed(&self) -> u64 {
        self.destroyed
    }
}

impl Running {
    fn signed(&mut self, tx: &Tx) -> Verdict {
        let context = context(std::mem::take(&mut self.db), &self.head);
        match self.commit(context, tx_env(tx)) {
            Ok(result) => {
                let verdict = verdict(result);
                let created = tx.envelope.is_create();
                let created = created.then(|| tx.sender.create(tx.envelope.nonce()));
                with(verdict, |receipt| receipt.contract_address = created)
            }
            Err(why) => Verdict::Refused(why),
        }
    }

    fn commit(
        &mut self,
        context: MainnetContext<Memory>,
        tx: TxEnv,
    ) -> Result<ExecutionResult, String> {
        let mut evm = context.build_mainnet();
        let outcome = evm.transact(tx);
        self.db = evm.ctx.journaled_state.database;
        let outcome = outcome.map_err(|error| error.to_string())?;
        let gone = outcome.state.values().filter(|account| account.is_selfdestructed());
        self.destroyed += gone.count() as u64;
        self.db.commit(outcome.state);
        Ok(outcome.result)
    }

    /// A deposit as the OP stack has it: wei first, which stay; then a call that costs nothing; the
    /// nonce counts in any case. One that cannot begin uses all its gas.
    fn deposit(&mut self, tx: &Tx, mint: u128) -> Verdict {
        let before = self.account(tx.sender);
        let minted = before.balance.checked_add(U256::from(mint)).unwrap_or(before.balance);
        let account = self.db.load_account(tx.sender).expect("memory is readable");
        account.info.balance = minted;
        account.account_state = Default::default();
        let mut context = context(std::mem::take(&mut self.db), &self.head);
        context.cfg.disable_eip3607 = true;
        context.cfg.disable_base_fee = true;
        context.cfg.disable_block_gas_limit = true;
        context.cfg.tx_gas_limit_cap = Some(u64::MAX);
        let call = TxEnv {
            caller: tx.sender,
            gas_limit: tx.envelope.gas_limit(),
            kind: tx.envelope.kind(),
            value: tx.envelope.value(),
            data: tx.envelope.input().clone(),
            nonce: before.nonce,
            chain_id: None,
            ..Default::default()
        };
        let verdict = match self.commit(context, call) {
            Ok(result) => verdict(result),
            Err(_) => {
                let account = self.db.load_account(tx.sender).expect("memory is readable");
                account.info.nonce += 1;
                Verdict::ran(false, tx.envelope.gas_limit(), Vec::new(), Bytes::new())
            }
        };
        with(verdict, |receipt| receipt.deposit_nonce = before.nonce)
    }
}

fn with(verdict: Verdict, change: impl FnOnce(&mut causeway_chainspec::Receipt)) -> Verdict {
    match verdict {
        Verdict::Ran(mut receipt, output) => {
            change(&mut receipt);
            Verdict::Ran(receipt, output)
        }
        refused => refused,
    }
}

fn verdict(result: ExecutionResult) -> Verdict {
    let (success, gas_used) = (result.is_success(), result.tx_gas_used());
    let output = result.output().cloned().unwrap_or_default();
    let logs = if success { result.into_logs() } else { Vec::new() };
    Verdict::ran(success, gas_used, logs, output)
}

fn memory(state: State, head: &Head) -> Memory {
    let mut db = Memory::default();
    for (address, entry) in state.0 {
        let code = (!entry.code.is_empty()).then(|| Bytecode::new_raw(entry.code.clone()));
        let (nonce, balance, code_hash) = (entry.nonce, entry.balance, entry.code_hash());
        let info = AccountInfo { nonce, balance, code_hash, code, ..Default::default() };
        db.insert_account_info(address, info);
        for (key, value) in entry.storage {
            db.insert_account_storage(address, key, value).expect("memory is writable");
        }
    }
    for (number, hash) in head.hashes.iter().enumerate() {
        db.cache.block_hashes.insert(U256::from(number), *hash);
    }
    db
}

fn context(db: Memory, head: &Head) -> MainnetContext<Memory> {
    let (_, spec) = FORKS.into_iter().find(|(fork, _)| *fork == head.fork).expect("a known fork");
    let cfg = CfgEnv::new_with_spec(spec).with_chain_id(head.chain_id);
    Context::mainnet().with_cfg(cfg).with_db(db).modify_block_chained(|block| {
        block.number = U256::from(head.number);
        block.beneficiary = head.beneficiary;
        block.timestamp = U256::from(head.time_ms / 1000);
        block.gas_limit = head.gas_limit;
        block.basefee = head.base_fee;
        block.prevrandao = Some(head.mix_hash);
        let (excess_blob_gas, blob_gasprice) = (0, 1);
        block.blob_excess_gas_and_price =
            Some(BlobExcessGasAndPrice { excess_blob_gas, blob_gasprice });
    })
}

/// A signed transaction as revm takes it.
fn tx_env(tx: &Tx) -> TxEnv {
    let mut env = TxEnv {
        tx_type: tx.envelope.tx_type() as u8,
        caller: tx.sender,
        gas_limit: tx.envelope.gas_limit(),
        kind: tx.envelope.kind(),
        value: tx.envelope.value(),
        data: tx.envelope.input().clone(),
        nonce: tx.envelope.nonce(),
        chain_id: tx.envelope.chain_id(),
        ..Default::default()
    };
    match &tx.envelope {
        TxEnvelope::Legacy(signed) => env.gas_price = signed.tx().gas_price,
        TxEnvelope::Eip2930(signed) => {
            env.gas_price = signed.tx().gas_price;
            env.access_list = signed.tx().access_list.clone();
        }
        TxEnvelope::Eip1559(signed) => {
            env.gas_price = signed.tx().max_fee_per_gas;
            env.gas_priority_fee = Some(signed.tx().max_priority_fee_per_gas);
            env.access_list = signed.tx().access_list.clone();
        }
        TxEnvelope::Eip7702(signed) => {
            env.gas_price = signed.tx().max_fee_per_gas;
            env.gas_priority_fee = Some(signed.tx().max_priority_fee_per_gas);
            env.access_list = signed.tx().access_list.clone();
            let list = signed.tx().authorization_list.iter().cloned();
            env.authorization_list = list.map(Either::Left).collect();
        }
        other => panic!("{other:?} is not signed"),
    }
    env
}
