//! What contracts can do, each in a few bytes of code, and what it leaves in the difference.

use alloy_consensus::TxEip7702;
use alloy_eips::eip7702::Authorization;
use alloy_primitives::{TxKind, U256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use causeway_chainspec::{Fork, TxEnvelope};
use revm::bytecode::opcode::*;

use super::*;

/// SELFDESTRUCT to the address that is in the calldata.
const DIE: &[u8] = &[PUSH0, CALLDATALOAD, SELFDESTRUCT];

fn word(address: Address) -> Vec<u8> {
    address.into_word().to_vec()
}

#[test]
fn creation_puts_code_at_the_address_of_sender_and_nonce() {
    let mut state = Memory::users();
    let runtime = [PUSH1, 7, PUSH0, SSTORE, STOP];
    let output = advance(&mut state, Fork::Prague, &[tx(1, 0, TxKind::Create, 9, &init(&runtime))]);
    let created = addr(1).create(0);
    assert_eq!(output.receipts[0].contract_address, Some(created));
    let hash = keccak256(runtime);
    assert_eq!(output.diff.codes, BTreeMap::from([(hash, Bytes::copy_from_slice(&runtime))]));
    let account = Account { nonce: 1, balance: U256::from(9), bytecode_hash: Some(hash) };
    assert_eq!(output.diff.accounts[&created].account, Some(account));
    assert!(!output.diff.accounts[&created].wiped);
    advance(&mut state, Fork::Prague, &[call(1, 1, created)]);
    assert_eq!(state.get(created, 0), 7);
}

#[test]
fn code_made_in_a_block_runs_in_the_same_block() {
    let mut state = Memory::users();
    let runtime = [PUSH1, 7, PUSH0, SSTORE, STOP];
    let created = addr(1).create(0);
    let txs = [tx(1, 0, TxKind::Create, 0, &init(&runtime)), call(1, 1, created)];
    advance(&mut state, Fork::Prague, &txs);
    assert_eq!(state.get(created, 0), 7);
}

#[test]
fn creation_over_leftover_storage_wipes_it() {
    let mut state = Memory::users();
    let created = addr(1).create(0);
    state.fund(created, 5);
    state.set(created, 0, 11);
    state.set(created, 1, 12);
    let runtime = [PUSH0, SLOAD, PUSH1, 2, SSTORE, STOP];
    let txs = [tx(1, 0, TxKind::Create, 0, &init(&runtime)), call(1, 1, created)];
    let output = advance(&mut state, Fork::Prague, &txs);
    assert!(output.diff.accounts[&created].wiped);
    assert_eq!((state.get(created, 0), state.get(created, 1), state.get(created, 2)), (0, 0, 0));
}

#[test]
fn a_revert_undoes_everything_but_fee_and_nonce() {
    let mut state = Memory::users();
    let to = addr(0x10);
    let code = [PUSH1, 1, PUSH0, SSTORE, PUSH0, PUSH0, LOG0, PUSH1, 4, PUSH0, REVERT];
    state.contract(to, code);
    let output = advance(&mut state, Fork::Prague, &[tx(1, 0, to.into(), 5, &[])]);
    let receipt = &output.receipts[0];
    assert!(!receipt.success && receipt.logs.is_empty());
    assert_eq!((state.get(to, 0), state.accounts[&to].balance), (0, U256::ZERO));
    assert_eq!(state.accounts[&addr(1)].nonce, 1);
    assert_eq!(output.burnt, U256::from(BASE_FEE * receipt.gas_used));
    let tip = U256::from(receipt.gas_used);
    assert_eq!(state.accounts[&addr(0xbe)].balance, tip);
}

#[test]
fn storage_is_refunded_up_to_a_fifth_and_noop_writes_change_nothing() {
    let mut state = Memory::users();
    let to = addr(0x10);
    state.contract(to, [PUSH0, CALLDATALOAD, PUSH0, SSTORE, STOP]);
    state.set(to, 0, 1);
    let clear = advance(&mut state, Fork::Prague, &[call(1, 0, to)]);
    // 21000 + 5000 and 3 * 2 + 3 of opcodes, less the refund of 4800.
    assert_eq!(clear.receipts[0].gas_used, 21_000 + 5_000 + 9 - 4_800);
    assert_eq!(clear.diff.accounts[&to].storage, BTreeMap::from([(U256::ZERO, U256::ZERO)]));
    let noop = advance(&mut state, Fork::Prague, &[call(1, 1, to)]);
    assert!(!noop.diff.accounts.contains_key(&to));
    // There and back again within one block.
    let mut one = vec![0; 32];
    one[31] = 1;
    let txs = [tx(1, 2, to.into(), 0, &one), call(1, 3, to)];
    let back = advance(&mut state, Fork::Prague, &txs);
    assert!(!back.diff.accounts.contains_key(&to));
}

#[test]
fn selfdestruct_empties_an_old_contract_and_deletes_a_new_one() {
    let mut state = Memory::users();
    let old = addr(0x10);
    state.contract(old, DIE);
    state.set(old, 3, 3);
    state.accounts.get_mut(&old).unwrap().balance = U256::from(50);
    advance(&mut state, Fork::Prague, &[tx(1, 0, old.into(), 0, &word(addr(0x77)))]);
    assert_eq!((state.accounts[&old].balance, state.get(old, 3)), (U256::ZERO, 3));
    assert_eq!(state.accounts[&addr(0x77)].balance, U256::from(50));
    // Constructor: destroy to the zero word's address... of its own, which burns the value.
    let suicide = [ADDRESS, SELFDESTRUCT];
    let output = advance(&mut state, Fork::Prague, &[tx(1, 1, TxKind::Create, 77, &suicide)]);
    let fees = U256::from(BASE_FEE * output.gas_used);
    assert_eq!(output.burnt, fees + U256::from(77));
    assert!(!output.diff.accounts.contains_key(&addr(1).create(1)));
}

#[test]
fn before_cancun_selfdestruct_wipes_an_old_contract() {
    let mut state = Memory::users();
    let old = addr(0x10);
    state.contract(old, DIE);
    state.set(old, 3, 3);
    let txs = [
        tx(1, 0, old.into(), 0, &word(addr(0x77))),
        // It is an empty address for the next transaction.
        tx(1, 1, old.into(), 6, &[]),
    ];
    let output = advance(&mut state, Fork::Shanghai, &txs);
    let diff = &output.diff.accounts[&old];
    assert!(diff.wiped && diff.storage.is_empty());
    let account = Account { balance: U256::from(6), ..Default::default() };
    assert_eq!((diff.account, state.get(old, 3)), (Some(account), 0));
}

#[test]
fn touched_empty_accounts_are_deleted_and_new_ones_not_made() {
    let mut state = Memory::users();
    state.accounts.insert(addr(0x50), Account::default());
    let txs = [call(1, 0, addr(0x50)), call(1, 1, addr(0x51))];
    let output = advance(&mut state, Fork::Prague, &txs);
    assert_eq!(output.diff.accounts[&addr(0x50)].account, None);
    assert!(!output.diff.accounts.contains_key(&addr(0x51)));
}

fn authorize(signer: &PrivateKeySigner, nonce: u64, target: Address) -> TxEip7702 {
    let chain_id = U256::from(CHAIN);
    let authorization = Authorization { chain_id, address: target, nonce };
    let signature = signer.sign_hash_sync(&authorization.signature_hash()).unwrap();
    TxEip7702 {
        chain_id: CHAIN,
        gas_limit: 500_000,
        max_fee_per_gas: 100,
        max_priority_fee_per_gas: 1,
        to: addr(0x66),
        authorization_list: vec![authorization.into_signed(signature)],
        ..Default::default()
    }
}

#[test]
fn delegations_are_set_followed_and_cleared() {
    let mut state = Memory::users();
    let signer = PrivateKeySigner::from_slice(&[7; 32]).unwrap();
    let (user, target) = (signer.address(), addr(0x10));
    state.contract(target, [PUSH1, 9, PUSH0, SSTORE, STOP]);
    let typed = |nonce, tx: TxEip7702| {
        unsigned(addr(1), TxEnvelope::Eip7702(signed(TxEip7702 { nonce, ..tx })))
    };
    let txs = [typed(0, authorize(&signer, 0, target)), call(2, 0, user)];
    let output = advance(&mut state, Fork::Prague, &txs);
    let code = [&[0xef, 0x01, 0x00], target.as_slice()].concat();
    assert_eq!(state.accounts[&user].bytecode_hash, Some(keccak256(&code)));
    assert_eq!(output.diff.codes[&keccak256(&code)], code);
    assert_eq!((state.get(user, 0), state.get(target, 0)), (9, 0));
    // The authority's nonce moved, so the same authorization does nothing, and the delegated
    // account can still send.
    let txs = [typed(1, authorize(&signer, 0, addr(0x55))), call(2, 1, user)];
    let output = advance(&mut state, Fork::Prague, &txs);
    assert!(!output.diff.accounts.contains_key(&user));
    let txs = [typed(2, authorize(&signer, 1, Address::ZERO))];
    advance(&mut state, Fork::Prague, &txs);
    assert_eq!((state.accounts[&user].bytecode_hash, state.accounts[&user].nonce), (None, 2));
}

#[test]
fn an_authorization_that_uses_up_a_nonce_makes_the_next_transaction_a_skip() {
    let mut state = Memory::users();
    let signer = PrivateKeySigner::from_slice(&[8; 32]).unwrap();
    state.fund(signer.address(), ETHER);
    let list = authorize(&signer, 0, addr(0x10));
    let list = unsigned(addr(1), TxEnvelope::Eip7702(signed(list)));
    let own = TxEip1559 {
        chain_id: CHAIN,
        gas_limit: 21_000,
        max_fee_per_gas: 10,
        to: addr(9).into(),
        ..Default::default()
    };
    let own = unsigned(signer.address(), TxEnvelope::Eip1559(signed(own)));
    let output = run(&state, &env(Fork::Prague), &[list, own]);
    assert_eq!(output.skipped[0].1.to_string(), "nonce too low: next nonce 1, tx nonce 0");
}

#[test]
fn create2_lands_where_salt_and_code_say_and_collides_the_second_time() {
    let mut state = Memory::users();
    let factory = addr(0x10);
    let inner = init(&[STOP]);
    let mut code = memory(&inner);
    // salt 5, size, offset 0, value 0; the address goes to slot 0
    code.extend([PUSH1, 5, PUSH1, inner.len() as u8, PUSH0, PUSH0, CREATE2, PUSH0, SSTORE, STOP]);
    state.contract(factory, code);
    advance(&mut state, Fork::Prague, &[call(1, 0, factory)]);
    let expected = factory.create2(U256::from(5).to_be_bytes(), keccak256(&inner));
    assert_eq!(state.slot(factory, U256::ZERO).unwrap(), U256::from_be_bytes(word(expected).try_into().unwrap()));
    assert_eq!(state.codes[&state.accounts[&expected].bytecode_hash.unwrap()], [STOP][..]);
    let output = advance(&mut state, Fork::Prague, &[call(1, 1, factory)]);
    assert!(output.receipts[0].success);
    assert_eq!(state.get(factory, 0), 0);
}

#[test]
fn logs_and_block_values_are_those_of_the_environment() {
    let mut state = Memory::users();
    let to = addr(0x10);
    let mut code = vec![PUSH1, 0xaa, PUSH1, 2, PUSH0, LOG1];
    // blocks 9 (known to the reader) and 10 (this one)
    for (slot, value) in [
        (0, vec![TIMESTAMP]),
        (1, vec![NUMBER]),
        (2, vec![BASEFEE]),
        (3, vec![PREVRANDAO]),
        (4, vec![CHAINID]),
        (5, vec![PUSH1, 9, BLOCKHASH]),
        (6, vec![PUSH1, 10, BLOCKHASH]),
        (7, vec![BLOBBASEFEE]),
        (8, vec![COINBASE]),
        (9, vec![GASLIMIT]),
    ] {
        code.extend(value);
        code.extend([PUSH1, slot, SSTORE]);
    }
    state.contract(to, code);
    let output = advance(&mut state, Fork::Prague, &[call(1, 0, to)]);
    let log = &output.receipts[0].logs[0];
    assert_eq!((log.address, log.topics().len(), log.data.data.len()), (to, 1, 2));
    let slots: Vec<_> = (0..10).map(|key| state.slot(to, U256::from(key)).unwrap()).collect();
    assert_eq!(slots[0], U256::from(1_700_000_000));
    assert_eq!((slots[1], slots[2]), (U256::from(10), U256::from(BASE_FEE)));
    assert_eq!(slots[3], U256::from_be_bytes([0x33; 32]));
    assert_eq!((slots[4], slots[5], slots[6]), (U256::from(CHAIN), U256::from(9), U256::ZERO));
    assert_eq!((slots[7], slots[9]), (U256::from(1), U256::from(30_000_000)));
    assert_eq!(Address::from_word(slots[8].into()), addr(0xbe));
}

#[test]
fn p256_is_a_precompile_from_osaka_on() {
    // A signature over SHA-256("sample"), RFC 6979 appendix A.2.5.
    let input = alloy_primitives::hex!(
        "af2bdbe1aa9b6ec1e2ade1d694f41fc71a831d0268e9891562113d8a62add1bf"
        "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
        "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"
        "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
        "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299"
    );
    let state = Memory::users();
    let verify = Address::from_word(U256::from(0x100).into());
    let call = crate::Call {
        from: addr(1),
        to: verify.into(),
        gas_limit: 100_000,
        input: Bytes::copy_from_slice(&input),
        ..Default::default()
    };
    let evm = Evm::default();
    let osaka = evm.call(&state, &env(Fork::Osaka), &call).unwrap();
    assert_eq!(osaka.output, U256::from(1).to_be_bytes::<32>()[..]);
    assert!(evm.call(&state, &env(Fork::Prague), &call).unwrap().output.is_empty());
}
