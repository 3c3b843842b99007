//! revm as it comes, over its own database in memory: the limit of whatever executes the EVM.

use alloy_consensus::Transaction;
use alloy_primitives::{Address, U256};
use causeway_chainspec::spec::GenesisAccount;
use causeway_chainspec::{BlockEnv, Tx, TxEnvelope};
use eyre::{ensure, eyre};
use revm::context::{BlockEnv as RevmBlock, CfgEnv, Context, TxEnv};
use revm::database::{CacheDB, EmptyDB};
use revm::handler::{MainnetContext, MainnetEvm};
use revm::primitives::hardfork::SpecId;
use revm::state::{AccountInfo, Bytecode};
use revm::{ExecuteCommitEvm, MainBuilder, MainContext};

/// One machine and its state.
pub struct Raw {
    evm: MainnetEvm<MainnetContext<CacheDB<EmptyDB>>>,
}

impl Raw {
    /// A machine at some block of a chain, over these accounts.
    pub fn new<'a>(
        env: &BlockEnv,
        accounts: impl Iterator<Item = (&'a Address, &'a GenesisAccount)>,
    ) -> eyre::Result<Self> {
        let mut db = CacheDB::new(EmptyDB::default());
        for (address, account) in accounts {
            let mut info = AccountInfo {
                nonce: account.nonce,
                balance: account.balance,
                ..Default::default()
            };
            if !account.code.is_empty() {
                info.set_code(Bytecode::new_raw(account.code.clone()));
            }
            db.insert_account_info(*address, info);
            for (slot, value) in &account.storage {
                db.insert_account_storage(*address, *slot, *value)?;
            }
        }
        let cfg = CfgEnv::new_with_spec(SpecId::OSAKA).with_chain_id(env.chain_id);
        let block = RevmBlock {
            number: U256::from(env.number),
            beneficiary: env.beneficiary,
            timestamp: U256::from(env.time_ms / 1000),
            gas_limit: env.gas_limit,
            basefee: env.base_fee,
            prevrandao: Some(env.mix_hash),
            ..Default::default()
        };
        let context = Context::mainnet().with_cfg(cfg).with_block(block).with_db(db);
        Ok(Self { evm: context.build_mainnet() })
    }

    /// Executes and commits a transaction, which must succeed. Returns the gas it used.
    pub fn run(&mut self, tx: TxEnv) -> eyre::Result<u64> {
        let result = self.evm.transact_commit(tx).map_err(|error| eyre!("raw revm: {error}"))?;
        ensure!(result.is_success(), "raw revm: {result:?}");
        Ok(result.tx_gas_used())
    }

    /// What an account has, wei.
    #[cfg(test)]
    pub fn balance(&mut self, address: Address) -> eyre::Result<U256> {
        use revm::Database as _;
        let info = self.evm.ctx.journaled_state.database.basic(address)?;
        Ok(info.map_or(U256::ZERO, |info| info.balance))
    }

    /// All of some transactions, each of which must succeed. Returns the gas they used.
    pub fn run_all(&mut self, txs: &[TxEnv]) -> eyre::Result<u64> {
        txs.iter().map(|tx| self.run(tx.clone())).sum()
    }
}

/// A signed transaction as revm takes it.
pub fn tx_env(tx: &Tx) -> eyre::Result<TxEnv> {
    ensure!(matches!(tx.envelope, TxEnvelope::Eip1559(_)), "only EIP-1559 is measured");
    Ok(TxEnv {
        tx_type: 2,
        caller: tx.sender,
        gas_limit: tx.envelope.gas_limit(),
        gas_price: tx.envelope.max_fee_per_gas(),
        gas_priority_fee: tx.envelope.max_priority_fee_per_gas(),
        kind: tx.envelope.kind(),
        value: tx.envelope.value(),
        data: tx.envelope.input().clone(),
        nonce: tx.envelope.nonce(),
        chain_id: tx.envelope.chain_id(),
        ..Default::default()
    })
}
