//! Random blocks, executed by us as a block and by revm's own handler one by one: equal in
//! everything, skips included.

use alloy_consensus::{TxEip2930, TxEip7702};
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_eips::eip7702::{Authorization, SignedAuthorization};
use alloy_primitives::TxKind;
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use proptest::prelude::*;
use revm::bytecode::opcode::*;
use revm::context::{CfgEnv, Context, TxEnv};
use revm::context_interface::block::BlobExcessGasAndPrice;
use revm::context_interface::either::Either;
use revm::context_interface::result::ExecutionResult;
use revm::database::{CacheDB, EmptyDB};
use revm::primitives::hardfork::SpecId;
use revm::state::{AccountInfo, Bytecode};
use revm::{ExecuteCommitEvm, MainBuilder, MainContext};

use super::*;

const FORKS: [(Fork, SpecId); 5] = [
    (Fork::Paris, SpecId::MERGE),
    (Fork::Shanghai, SpecId::SHANGHAI),
    (Fork::Cancun, SpecId::CANCUN),
    (Fork::Prague, SpecId::PRAGUE),
    (Fork::Osaka, SpecId::OSAKA),
];

/// Addresses that random code and transactions speak of: users, contracts, an authority, a
/// precompile, the fee recipient, nobody.
fn somebody(pick: u8) -> Address {
    match pick % 12 {
        pick @ 0..3 => addr(pick + 1),
        pick @ 3..7 => addr(0x10 + pick - 3),
        7 => authority().address(),
        8 => Address::with_last_byte(4),
        9 => addr(0xbe),
        // The first contract that the first user creates.
        10 => addr(1).create(0),
        _ => addr(0x77),
    }
}

fn authority() -> PrivateKeySigner {
    PrivateKeySigner::from_slice(&[9; 32]).unwrap()
}

/// Puts an address where a call takes it, with a few bytes of calldata and room for an answer.
fn call_opcode(opcode: u8, pick: u8, value: u8) -> Vec<u8> {
    let mut code = vec![PUSH1, 32, PUSH1, 64, PUSH1, 32, PUSH1, 0];
    if matches!(opcode, CALL | CALLCODE) {
        code.extend([PUSH1, value]);
    }
    code.extend(push(somebody(pick)));
    code.extend([PUSH3, 0, 0xea, 0x60, opcode, PUSH1, value % 4, SSTORE]);
    code
}

/// Creation codes: leaves code that answers calls, leaves code that dies when called, dies at
/// once, reverts, leaves a byte that no code may begin with.
fn creation(pick: u8) -> Vec<u8> {
    match pick % 5 {
        0 => vec![PUSH1, 1, PUSH1, 0, SSTORE, PUSH1, 1, PUSH1, 0, RETURN],
        1 => init_old(&[&push(somebody(pick / 5))[..], &[SELFDESTRUCT]].concat()),
        2 => vec![ADDRESS, SELFDESTRUCT],
        3 => vec![PUSH1, 1, PUSH1, 0, REVERT],
        _ => vec![PUSH1, 0xef, PUSH1, 0, MSTORE8, PUSH1, 1, PUSH1, 0, RETURN],
    }
}

/// As `init`, without the PUSH0 that Paris lacks.
fn init_old(runtime: &[u8]) -> Vec<u8> {
    let len = runtime.len() as u8;
    let mut code = vec![PUSH1, len, PUSH1, 12, PUSH1, 0, CODECOPY, PUSH1, len, PUSH1, 0, RETURN];
    code.extend_from_slice(runtime);
    code
}

/// One stack-neutral thing a contract does.
fn statement() -> impl Strategy<Value = Vec<u8>> {
    let byte = any::<u8>;
    prop_oneof![
        8 => (0..4u8, 0..3u8).prop_map(|(key, value)| vec![PUSH1, value, PUSH1, key, SSTORE]),
        4 => (0..4u8, 0..4u8).prop_map(|(from, to)| {
            vec![PUSH1, from, SLOAD, PUSH1, 1, ADD, PUSH1, to, SSTORE]
        }),
        3 => (0..12usize, 0..4u8).prop_map(|(index, key)| {
            let sources = [
                BASEFEE, GASPRICE, NUMBER, TIMESTAMP, DIFFICULTY, GAS, ORIGIN, CALLVALUE,
                SELFBALANCE, RETURNDATASIZE, CALLER, CODESIZE,
            ];
            vec![sources[index], PUSH1, key, SSTORE]
        }),
        3 => (byte(), 0..3usize, 0..4u8).prop_map(|(who, which, key)| {
            let ask = [BALANCE, EXTCODESIZE, EXTCODEHASH][which];
            [&push(somebody(who))[..], &[ask, PUSH1, key, SSTORE]].concat()
        }),
        6 => (byte(), 0..4usize, 0..4u8).prop_map(|(who, which, value)| {
            call_opcode([CALL, CALL, DELEGATECALL, STATICCALL][which], who, value)
        }),
        1 => (byte(), 0..4u8).prop_map(|(who, value)| call_opcode(CALLCODE, who, value)),
        4 => (byte(), any::<bool>(), 0..4u8).prop_map(|(pick, salted, key)| {
            let inner = creation(pick);
            let mut code = memory(&inner);
            if salted {
                code.extend([PUSH1, key]);
            }
            code.extend([PUSH1, inner.len() as u8, PUSH1, 0, PUSH1, key]);
            code.extend([if salted { CREATE2 } else { CREATE }, PUSH1, key, SSTORE]);
            code
        }),
        2 => (0..3u8).prop_map(|topics| {
            let mut code = [PUSH1, 7].repeat(topics.into());
            code.extend([PUSH1, 5, PUSH1, 0, LOG0 + topics]);
            code
        }),
        1 => (0..4u8).prop_map(|key| vec![PUSH1, 1, PUSH1, key, TSTORE]),
        1 => (0..4u8).prop_map(|key| vec![PUSH1, key, TLOAD, PUSH1, key, SSTORE]),
        1 => (0..4u8).prop_map(|key| vec![PUSH1, 40, PUSH1, 0, KECCAK256, PUSH1, key, SSTORE]),
        1 => (0..12u8).prop_map(|number| vec![PUSH1, number, BLOCKHASH, PUSH1, 1, SSTORE]),
        1 => byte().prop_map(|who| [&push(somebody(who))[..], &[SELFDESTRUCT]].concat()),
        1 => (0..5usize).prop_map(|index| {
            vec![PUSH1, 3, PUSH1, 0, [STOP, REVERT, RETURN, INVALID, JUMP][index]]
        }),
        1 => Just(vec![0x0c]),
    ]
}

fn program() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(statement(), 1..8).prop_map(|statements| statements.concat())
}

#[derive(Debug, Clone)]
struct Sketch {
    kind: u8,
    from: u8,
    /// Nonces are right, mostly.
    nonce_off: u8,
    to: u8,
    value: u8,
    gas_limit: u64,
    max_fee: u8,
    tip: u8,
    input: Vec<u8>,
    authorization: (u8, u8),
}

fn sketch() -> impl Strategy<Value = Sketch> {
    let gas = prop_oneof![5 => 100_000..900_000u64, 1 => 20_000..60_000u64];
    let input = prop_oneof![3 => Just(vec![]), 1 => prop::collection::vec(any::<u8>(), 0..40)];
    let fees = (5..60u8, 0..20u8);
    (0..8u8, 0..3u8, 0..30u8, any::<u8>(), 0..9u8, gas, fees, input, (0..4u8, any::<u8>()))
        .prop_map(
            |(
                kind,
                from,
                nonce_off,
                to,
                value,
                gas_limit,
                (max_fee, tip),
                input,
                authorization,
            )| {
                let input = if kind == 5 { creation(to) } else { input };
                Sketch {
                    kind,
                    from,
                    nonce_off,
                    to,
                    value,
                    gas_limit,
                    max_fee,
                    tip,
                    input,
                    authorization,
                }
            },
        )
}

impl Sketch {
    fn access_list(&self) -> AccessList {
        let address = somebody(self.to.wrapping_add(1));
        AccessList(vec![AccessListItem { address, storage_keys: vec![B256::ZERO] }])
    }

    fn authorizations(&self) -> Vec<SignedAuthorization> {
        let (nonce, target) = self.authorization;
        let authorization =
            Authorization { chain_id: U256::ZERO, address: somebody(target), nonce: nonce.into() };
        let signature = authority().sign_hash_sync(&authorization.signature_hash()).unwrap();
        vec![authorization.into_signed(signature)]
    }

    /// The transaction twice: as the chain has it, and as revm has it.
    fn both(&self, nonces: &mut [u64; 3]) -> (Arc<Tx>, TxEnv) {
        let next = &mut nonces[usize::from(self.from)];
        let nonce = match self.nonce_off {
            0 => *next + 1,
            1 => next.saturating_sub(1),
            _ => *next,
        };
        *next += u64::from(nonce == *next);
        let to = if self.kind == 5 { TxKind::Create } else { somebody(self.to).into() };
        let (value, input) = (U256::from(self.value), Bytes::from(self.input.clone()));
        let (max_fee, tip, gas_limit) = (self.max_fee.into(), self.tip.into(), self.gas_limit);
        let mut env = TxEnv {
            caller: addr(self.from + 1),
            gas_limit,
            gas_price: max_fee,
            kind: to,
            value,
            data: input.clone(),
            nonce,
            chain_id: Some(CHAIN),
            ..Default::default()
        };
        let envelope = match self.kind {
            0 => {
                env.chain_id = None;
                let chain_id = None;
                let gas_price = max_fee;
                let tx = TxLegacy { chain_id, nonce, gas_price, gas_limit, to, value, input };
                TxEnvelope::Legacy(signed(tx))
            }
            1 => {
                let access_list = self.access_list();
                (env.tx_type, env.access_list) = (1, access_list.clone());
                let (chain_id, gas_price) = (CHAIN, max_fee);
                TxEnvelope::Eip2930(signed(TxEip2930 {
                    chain_id,
                    nonce,
                    gas_price,
                    gas_limit,
                    to,
                    value,
                    access_list,
                    input,
                }))
            }
            2 => {
                let authorization_list = self.authorizations();
                let list = authorization_list.iter().cloned().map(Either::Left);
                (env.tx_type, env.gas_priority_fee) = (4, Some(tip));
                env.authorization_list = list.collect();
                TxEnvelope::Eip7702(signed(TxEip7702 {
                    chain_id: CHAIN,
                    nonce,
                    gas_limit,
                    max_fee_per_gas: max_fee,
                    max_priority_fee_per_gas: tip,
                    to: somebody(self.to),
                    value,
                    access_list: AccessList::default(),
                    authorization_list,
                    input,
                }))
            }
            _ => {
                (env.tx_type, env.gas_priority_fee) = (2, Some(tip));
                TxEnvelope::Eip1559(signed(TxEip1559 {
                    chain_id: CHAIN,
                    nonce,
                    gas_limit,
                    max_fee_per_gas: max_fee,
                    max_priority_fee_per_gas: tip,
                    to,
                    value,
                    access_list: AccessList::default(),
                    input,
                }))
            }
        };
        (unsigned(addr(self.from + 1), envelope), env)
    }
}

/// The same state as revm's own in-memory database.
fn cache_db(state: &Memory) -> CacheDB<EmptyDB> {
    let mut db = CacheDB::new(EmptyDB::default());
    for (address, account) in &state.accounts {
        let code = account.bytecode_hash.map(|hash| state.codes[&hash].clone());
        let info = AccountInfo {
            balance: account.balance,
            nonce: account.nonce,
            code_hash: account.get_bytecode_hash(),
            code: code.map(Bytecode::new_raw),
            ..Default::default()
        };
        db.insert_account_info(*address, info);
    }
    for (address, slots) in &state.slots {
        for (key, value) in slots {
            db.insert_account_storage(*address, *key, *value).unwrap();
        }
    }
    for number in 0..10 {
        db.cache.block_hashes.insert(U256::from(number), B256::with_last_byte(number));
    }
    db
}

type Stock = Vec<Option<ExecutionResult>>;

/// Each transaction by revm's mainnet handler, committed one by one.
fn stock(state: &Memory, env: &BlockEnv, spec: SpecId, txs: &[TxEnv]) -> (CacheDB<EmptyDB>, Stock) {
    let cfg = CfgEnv::new_with_spec(spec).with_chain_id(CHAIN);
    let mut evm = Context::mainnet()
        .with_cfg(cfg)
        .with_db(cache_db(state))
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
    let results = txs.iter().map(|tx| evm.transact_commit(tx.clone()).ok()).collect();
    (evm.ctx.journaled_state.database, results)
}

fn same_results(output: &BlockOutput, stock: &Stock) -> Result<(), TestCaseError> {
    let included: Vec<_> = (0..stock.len()).filter(|index| stock[*index].is_some()).collect();
    prop_assert_eq!(&output.included, &included, "{:?}", output.skipped);
    for (receipt, result) in output.receipts.iter().zip(stock.iter().flatten()) {
        prop_assert_eq!(receipt.success, result.is_success());
        prop_assert_eq!(receipt.gas_used, result.tx_gas_used());
        let logs = if result.is_success() { result.logs() } else { &[] };
        prop_assert_eq!(&receipt.logs[..], logs);
        if let Some(created) = result.created_address() {
            prop_assert_eq!(receipt.contract_address, Some(created));
        }
    }
    Ok(())
}

fn same_state(after: &Memory, db: &CacheDB<EmptyDB>) -> Result<(), TestCaseError> {
    for (address, theirs) in &db.cache.accounts {
        let ours = after.accounts.get(address).copied();
        let info = theirs.info().filter(|info| !info.is_empty());
        prop_assert_eq!(ours.is_some(), info.is_some(), "{}", address);
        if let (Some(ours), Some(info)) = (ours, info) {
            prop_assert_eq!((ours.nonce, ours.balance), (info.nonce, info.balance), "{}", address);
            prop_assert_eq!(ours.get_bytecode_hash(), info.code_hash, "{}", address);
        }
        for (key, value) in &theirs.storage {
            prop_assert_eq!(after.slot(*address, *key).unwrap(), *value, "{} {}", address, key);
        }
    }
    for (address, slots) in &after.slots {
        for key in slots.keys() {
            let known = &db.cache.accounts[address].storage;
            prop_assert!(known.contains_key(key), "{} {} survived", address, key);
        }
    }
    Ok(())
}

/// A difference says nothing that is already so.
fn minimal(before: &Memory, output: &BlockOutput) -> Result<(), TestCaseError> {
    for (address, diff) in &output.diff.accounts {
        let same = before.accounts.get(address) == diff.account.as_ref();
        prop_assert!(!same || diff.wiped || !diff.storage.is_empty(), "{} did not change", address);
        for (key, value) in &diff.storage {
            let old = if diff.wiped { U256::ZERO } else { before.slot(*address, *key).unwrap() };
            prop_assert_ne!(old, *value);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(800))]

    #[test]
    fn blocks_are_what_revm_makes_of_their_transactions(
        programs in prop::collection::vec(program(), 4),
        sketches in prop::collection::vec(sketch(), 1..8),
        fork in 0..5usize,
        beneficiary in any::<u8>(),
    ) {
        let mut state = Memory::users();
        state.fund(authority().address(), 1_000);
        for (index, code) in programs.into_iter().enumerate() {
            let address = addr(0x10 + index as u8);
            state.contract(address, code);
            state.accounts.get_mut(&address).unwrap().balance = U256::from(20);
            state.set(address, 1, 1);
            state.set(address, 2, 7);
        }
        let (fork, spec) = FORKS[fork];
        let env = BlockEnv { beneficiary: somebody(beneficiary), ..env(fork) };
        let mut nonces = [0; 3];
        let (txs, tx_envs): (Vec<_>, Vec<_>) =
            sketches.iter().map(|sketch| sketch.both(&mut nonces)).unzip();

        let output = run(&state, &env, &txs);
        let (db, results) = stock(&state, &env, spec, &tx_envs);
        same_results(&output, &results)?;
        minimal(&state, &output)?;
        let mut after = state.clone();
        after.apply(&output.diff);
        same_state(&after, &db)?;
        prop_assert_eq!(after.supply(), state.supply() + output.minted - output.burnt);
        let gas: u64 = output.receipts.iter().map(|receipt| receipt.gas_used).sum();
        prop_assert_eq!(output.gas_used, gas);
        prop_assert_eq!(run(&state, &env, &txs).diff, output.diff);
    }
}
