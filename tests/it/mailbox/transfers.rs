//! Coins: locked at home, burnt and paid out elsewhere, or an ERC-20 beside another gas coin.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_signer::SignerSync;
use alloy_sol_types::{SolCall, SolError, SolEvent, SolValue, sol};
use causeway_chainspec::DeliveryStatus;
use causeway_chainspec::mailbox::{
    self, COURIER, Coin, DEPLOY_GAS, Dispatch, MAILBOX, ReceivedTransferRemote, SentTransferRemote,
    TRANSFER_GAS, deliverCall, quoteTransferCall, refundCall, token_address, transferRemoteCall,
    transferRemoteWithCall, word_of,
};
use causeway_tests::contracts::{Asm, Contract, op};
use causeway_tests::keys;

use super::*;

sol! {
    struct Quote { address token; uint256 amount; }
    interface Bridge {
        function quoteTransferRemote(uint32 destination, bytes32 recipient, uint256 amount) external view returns (Quote[] quotes);
    }
    error ERC20InsufficientBalance(address sender, uint256 balance, uint256 needed);
    error ERC20InsufficientAllowance(address spender, uint256 allowance, uint256 needed);
    error ERC20InvalidReceiver(address receiver);
    error PermitExpired(uint256 deadline);
    error PermitSigner(address owner);
    error OnlyMailbox();
    interface Token {
        event Transfer(address indexed from, address indexed to, uint256 value);
        function name() external view returns (string);
        function symbol() external view returns (string);
        function decimals() external view returns (uint8);
        function mailbox() external view returns (address);
        function totalSupply() external view returns (uint256);
        function balanceOf(address owner) external view returns (uint256);
        function allowance(address owner, address spender) external view returns (uint256);
        function nonces(address owner) external view returns (uint256);
        function DOMAIN_SEPARATOR() external view returns (bytes32);
        function transfer(address to, uint256 value) external returns (bool);
        function approve(address spender, uint256 value) external returns (bool);
        function transferFrom(address from, address to, uint256 value) external returns (bool);
        function permit(address owner, address spender, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external;
        function mint(address to, uint256 value) external;
        function burn(address from, uint256 value) external;
    }
}

const AMOUNT: u128 = 5 * ETHER;
const PAYEE: Address = Address::repeat_byte(0x70);
const BURNER: Address = Address::repeat_byte(0x72);

fn fee() -> u128 {
    u128::from(PRICE) * u128::from(TRANSFER_GAS + 60_000 + 40 * 128)
}

fn send(amount: u128) -> transferRemoteCall {
    let amount = U256::from(amount);
    transferRemoteCall { destination: THERE, recipient: word_of(OTHER), amount }
}

fn arrives(nonce: u32, to: Address, amount: u128) -> Message {
    transfer(nonce, word_of(to), amount, hub_asset())
}

fn token() -> Address {
    let facts: serde_json::Value =
        serde_json::from_str(include_str!("../../../chainspec/predeploys/Mailbox.json")).unwrap();
    let hash: B256 = facts["metaToken"]["initCodeHash"].as_str().unwrap().parse().unwrap();
    token_address(hub_asset(), hash)
}

fn held(chain: &Chain, owner: Address) -> u128 {
    chain.ask(token(), &Token::balanceOfCall { owner }).to()
}

#[test]
fn native_coins_go_into_the_mailbox_with_the_fee() {
    for coin in [Coin::Home, Coin::Hub] {
        let mut chain = Chain::new(coin);
        assert_eq!(
            chain.ask(MAILBOX, &quoteTransferCall { destination: THERE }),
            U256::from(fee())
        );
        let before = chain.balance(USER);
        let done = chain.send(USER, AMOUNT + fee() + 9, &send(AMOUNT));
        assert!(done.success, "{done:?}");
        let [message] = &done.outbox[..] else { panic!("{done:?}") };
        assert!(mailbox::is_transfer(message));
        assert_eq!(Bytes::from(message.id().to_vec()), done.output);
        let body = mailbox::transfer_body(&message.body).unwrap();
        assert_eq!((body.recipient, body.from), (word_of(OTHER), word_of(USER)));
        assert_eq!((body.amount, body.asset), (U256::from(AMOUNT), hub_asset()));
        assert_eq!((message.terms.gas_limit, message.terms.refund_to), (TRANSFER_GAS, USER));
        assert_eq!(message.terms.expiry_ms, (1_700_000_000 + TTL) * 1_000);
        let sent = SentTransferRemote::decode_log(done.logs.last().unwrap()).unwrap();
        assert_eq!((sent.destination, sent.recipient), (THERE, word_of(OTHER)));
        assert_eq!(sent.amount, U256::from(AMOUNT));
        assert_eq!(Dispatch::decode_log(&done.logs[0]).unwrap().sender, MAILBOX);
        assert_eq!(chain.balance(MAILBOX), AMOUNT + fee());
        assert_eq!(chain.balance(USER), before - AMOUNT - fee());
        let required = U256::from(AMOUNT + fee());
        let short = ValueTooLow { required, missing: U256::from(fee()) };
        assert_eq!(chain.send(USER, AMOUNT, &send(AMOUNT)).output, Bytes::from(short.abi_encode()));
    }
}

#[test]
fn a_transfer_has_a_lifetime_and_somebody_to_pay_back() {
    let mut chain = Chain::new(Coin::Home);
    let mut call = transferRemoteWithCall {
        destination: THERE,
        recipient: word_of(OTHER),
        amount: U256::from(AMOUNT),
        ttlSeconds: 60,
        refundTo: OTHER,
    };
    let done = chain.send(USER, AMOUNT + fee(), &call);
    let terms = done.outbox[0].terms;
    assert_eq!((terms.expiry_ms, terms.refund_to), (1_700_000_060_000, OTHER));
    call.refundTo = MAILBOX;
    let error = Bytes::from(ReservedAddress {}.abi_encode());
    assert_eq!(chain.send(USER, AMOUNT + fee(), &call).output, error);
}

#[test]
fn coins_go_to_addresses_and_not_to_nobody() {
    let mut chain = Chain::new(Coin::Home);
    assert_eq!(chain.send(USER, ETHER, &send(0)).output, Bytes::from(AmountZero {}.abi_encode()));
    let mut wide = word_of(OTHER);
    wide.0[11] = 1;
    for recipient in [B256::ZERO, wide, word_of(MAILBOX)] {
        let call = transferRemoteCall { recipient, ..send(1) };
        let error = Bytes::from(RecipientInvalid { recipient }.abi_encode());
        assert_eq!(chain.send(USER, ETHER, &call).output, error);
    }
    let call = transferRemoteCall { amount: U256::MAX, ..send(1) };
    assert!(!chain.send(USER, ETHER, &call).success, "an amount that overflows");
    let call = transferRemoteCall { destination: HERE, ..send(1) };
    let error = Bytes::from(OwnDomain { domain: HERE }.abi_encode());
    assert_eq!(chain.send(USER, ETHER, &call).output, error);
    assert_eq!(chain.balance(MAILBOX), 0);
}

#[test]
fn native_coins_are_paid_from_the_mailbox() {
    for coin in [Coin::Home, Coin::Hub] {
        let mut chain = Chain::new(coin);
        chain.fund(MAILBOX, AMOUNT);
        // Takes coins if it is called without anything.
        let taker =
            Asm::new().ops(&[op::CALLDATASIZE, 0x60, 5, 0x57, op::STOP, op::JUMPDEST, 0xfe]);
        chain.contract(BURNER, &Contract::Burner.runtime());
        chain.contract(Address::repeat_byte(0x71), &taker.code());
        let payees = [PAYEE, USER, Address::repeat_byte(0x71)];
        for (nonce, payee) in payees.into_iter().enumerate() {
            let before = chain.balance(payee);
            let message = arrives(nonce as u32, payee, ETHER);
            let (status, used, done) = chain.deliver(&message);
            assert_eq!(status, DeliveryStatus::Delivered as u8, "{payee}");
            assert!(used < 40_000, "{used}");
            assert_eq!(chain.balance(payee), before + ETHER);
            let got = ReceivedTransferRemote::decode_log(done.logs.last().unwrap()).unwrap();
            assert_eq!((got.origin, got.recipient), (THERE, word_of(payee)));
            assert_eq!(got.amount, U256::from(ETHER));
        }
        let (status, used, done) = chain.deliver(&arrives(9, BURNER, ETHER));
        assert_eq!(status, DeliveryStatus::Reverted as u8);
        assert!(used > 100_000 && done.gas_used < TRANSFER_GAS + 60_000, "{used} {done:?}");
        // More than there is: nothing moves.
        let (status, _, _) = chain.deliver(&arrives(10, PAYEE, 3 * ETHER));
        assert_eq!(status, DeliveryStatus::Reverted as u8);
        assert_eq!(chain.balance(MAILBOX), 2 * ETHER);
    }
}

#[test]
fn a_body_that_is_no_transfer_is_malformed() {
    for coin in [Coin::Home, Coin::Own] {
        let mut chain = Chain::new(coin);
        chain.fund(MAILBOX, AMOUNT);
        let good = arrives(0, PAYEE, 1);
        let mut wide = word_of(PAYEE);
        wide.0[0] = 1;
        let mut short = good.clone();
        short.body = good.body.slice(..127);
        let mut long = good.clone();
        long.body = [&good.body[..], &[0]].concat().into();
        let mut empty = good.clone();
        empty.body = Bytes::new();
        for message in [
            short,
            long,
            empty,
            transfer(0, B256::ZERO, 1, hub_asset()),
            transfer(0, wide, 1, hub_asset()),
            transfer(0, word_of(MAILBOX), 1, hub_asset()),
            transfer(0, word_of(PAYEE), 0, hub_asset()),
            transfer(0, word_of(PAYEE), 1, keccak256("another")),
        ] {
            let (status, used, done) = chain.deliver(&message);
            assert_eq!((status, used), (DeliveryStatus::Malformed as u8, 0));
            assert!(done.logs.is_empty());
        }
        // Only a Mailbox moves coins: the same body from a user is a message to nobody.
        let mut forged = good.clone();
        forged.sender = word_of(OTHER);
        assert_eq!(chain.deliver(&forged).0, DeliveryStatus::Malformed as u8);
        assert_eq!(chain.balance(PAYEE), 0);
    }
}

/// A chain with a gas coin of its own, after the first transfer arrived.
fn with_token() -> Chain {
    let mut chain = Chain::new(Coin::Own);
    let message = arrives(0, USER, AMOUNT);
    let done = chain.deliver_with(&message, courier_gas(&message) + DEPLOY_GAS);
    let answer = deliverCall::abi_decode_returns(&done.output).unwrap();
    assert_eq!(answer.status, DeliveryStatus::Delivered as u8);
    println!("deploying cost {} in all", done.gas_used);
    assert!(done.gas_used - answer.gasUsed < DEPLOY_GAS);
    assert!(answer.gasUsed <= 60_000, "deploying is not the sender's: {}", answer.gasUsed);
    chain
}

#[test]
fn the_first_transfer_deploys_the_token_where_everybody_expects_it() {
    let mut chain = Chain::new(Coin::Own);
    let asset = hub_asset();
    assert_eq!(chain.ask(MAILBOX, &Views::tokenOfCall { asset }), Address::ZERO);
    let error = Bytes::from(NoToken { asset }.abi_encode());
    assert_eq!(chain.send(USER, ETHER, &send(1)).output, error);
    let message = arrives(0, USER, AMOUNT);
    let little = chain.deliver_with(&message, courier_gas(&message));
    assert_eq!(little.output, Bytes::from(OutOfGas {}.abi_encode()));

    let mut chain = with_token();
    assert_eq!(chain.ask(MAILBOX, &Views::tokenOfCall { asset }), token());
    assert_eq!(chain.ask(token(), &Token::nameCall {}), "ERA");
    assert_eq!(chain.ask(token(), &Token::symbolCall {}), "ERA");
    assert_eq!(chain.ask(token(), &Token::decimalsCall {}), 18);
    assert_eq!(chain.ask(token(), &Token::mailboxCall {}), MAILBOX);
    assert_eq!(held(&chain, USER), AMOUNT);
    let (status, used, done) = chain.deliver(&arrives(1, PAYEE, 7));
    assert_eq!((status, held(&chain, PAYEE)), (DeliveryStatus::Delivered as u8, 7));
    assert!(used <= TRANSFER_GAS);
    let minted = Token::Transfer::decode_log(&done.logs[0]).unwrap();
    assert_eq!((done.logs[0].address, minted.from, minted.to), (token(), Address::ZERO, PAYEE));
    assert_eq!(chain.ask(token(), &Token::totalSupplyCall {}), U256::from(AMOUNT + 7));
    // More than fits into a number is the source's lie: a status, nothing else.
    let body = mailbox::TransferBody {
        recipient: word_of(PAYEE),
        amount: U256::MAX,
        asset,
        from: word_of(OTHER),
    };
    let mut endless = arrives(2, PAYEE, 1);
    endless.body = body.abi_encode().into();
    assert_eq!(chain.deliver(&endless).0, DeliveryStatus::Reverted as u8);
}

#[test]
fn leaving_burns_the_senders_tokens_and_a_refund_mints_them() {
    let mut chain = with_token();
    let done = chain.send(USER, fee() + 1, &send(ETHER));
    assert!(done.success, "{done:?}");
    let [message] = &done.outbox[..] else { panic!("{done:?}") };
    assert!(mailbox::is_transfer(message));
    assert_eq!(held(&chain, USER), AMOUNT - ETHER);
    assert_eq!(chain.ask(token(), &Token::totalSupplyCall {}), U256::from(AMOUNT - ETHER));
    assert_eq!(chain.balance(MAILBOX), fee(), "the amount is no wei here");
    let ask = Bridge::quoteTransferRemoteCall {
        destination: THERE,
        recipient: word_of(OTHER),
        amount: U256::from(ETHER),
    };
    let quotes = chain.ask(MAILBOX, &ask);
    let quotes: Vec<_> = quotes.iter().map(|quote| (quote.token, quote.amount)).collect();
    let (wei, amount) = (U256::from(fee()), U256::from(ETHER));
    assert_eq!(quotes, [(Address::ZERO, wei), (token(), amount)]);

    let all = U256::from(AMOUNT);
    let error = ERC20InsufficientBalance { sender: USER, balance: all - amount, needed: all };
    assert_eq!(chain.send(USER, fee(), &send(AMOUNT)).output, Bytes::from(error.abi_encode()));
    // A fee that is short leaves the tokens where they are.
    assert!(!chain.send(USER, fee() - 1, &send(ETHER)).success);
    assert_eq!(held(&chain, USER), AMOUNT - ETHER);
    let refund = refundCall { messageId: message.id(), asset: hub_asset(), to: OTHER, amount };
    let done = chain.send(COURIER, 0, &refund);
    assert!(done.success && done.gas_used < 120_000, "{done:?}");
    assert_eq!(held(&chain, OTHER), ETHER);
}

#[test]
fn the_token_is_an_erc20_that_only_the_mailbox_makes() {
    let mut chain = with_token();
    let mut user = |from: Address, call: &dyn Fn() -> Vec<u8>| {
        chain.run(from, token().into(), 0, 1_000_000, call().into())
    };
    let (one, two) = (U256::from(1), U256::from(2));
    let fails = |done: Done, error: &[u8]| {
        assert!(!done.success);
        assert_eq!(done.output, Bytes::copy_from_slice(error));
    };
    assert!(user(USER, &|| Token::transferCall { to: OTHER, value: two }.abi_encode()).success);
    let zero = Token::transferCall { to: Address::ZERO, value: one };
    let error = ERC20InvalidReceiver { receiver: Address::ZERO }.abi_encode();
    fails(user(USER, &|| zero.abi_encode()), &error);
    let error = ERC20InsufficientBalance { sender: PAYEE, balance: U256::ZERO, needed: one };
    let call = Token::transferCall { to: OTHER, value: one };
    fails(user(PAYEE, &|| call.abi_encode()), &error.abi_encode());
    let from = Token::transferFromCall { from: OTHER, to: PAYEE, value: one };
    let error = ERC20InsufficientAllowance { spender: USER, allowance: U256::ZERO, needed: one };
    fails(user(USER, &|| from.abi_encode()), &error.abi_encode());
    let allow = |value| Token::approveCall { spender: USER, value }.abi_encode();
    assert!(user(OTHER, &|| allow(one)).success);
    assert!(user(USER, &|| from.abi_encode()).success);
    fails(user(USER, &|| from.abi_encode()), &error.abi_encode());
    assert!(user(OTHER, &|| allow(U256::MAX)).success);
    assert!(user(USER, &|| from.abi_encode()).success);
    for who in [USER, COURIER] {
        let error = OnlyMailbox {}.abi_encode();
        fails(user(who, &|| Token::mintCall { to: USER, value: one }.abi_encode()), &error);
        fails(user(who, &|| Token::burnCall { from: OTHER, value: one }.abi_encode()), &error);
    }
    let ask = Token::allowanceCall { owner: OTHER, spender: USER };
    assert_eq!(chain.ask(token(), &ask), U256::MAX);
    assert_eq!((held(&chain, OTHER), held(&chain, PAYEE)), (0, 2));
    assert_eq!(chain.ask(token(), &Token::totalSupplyCall {}), U256::from(AMOUNT));
}

#[test]
fn a_permit_is_its_owners_once_and_in_time() {
    let mut chain = with_token();
    let domain = (
        keccak256(
            "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)",
        ),
        keccak256("ERA"),
        keccak256("1"),
        U256::from(HERE),
        token(),
    );
    let separator = keccak256(domain.abi_encode());
    assert_eq!(chain.ask(token(), &Token::DOMAIN_SEPARATORCall {}), separator);
    let kind = keccak256(
        "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)",
    );
    let (value, owner, spender) = (U256::from(9), USER, OTHER);
    let permit = |nonce: u64, deadline: u64, signer: usize| {
        let deadline = U256::from(deadline);
        let content = (kind, owner, spender, value, U256::from(nonce), deadline).abi_encode();
        let parts = [&[0x19, 0x01], separator.as_slice(), keccak256(content).as_slice()].concat();
        let signature = keys::accounts()[signer].sign_hash_sync(&keccak256(parts)).unwrap();
        let (r, s) = (signature.r().into(), signature.s().into());
        Token::permitCall { owner, spender, value, deadline, v: 27 + u8::from(signature.v()), r, s }
    };
    let mut run = |call: &Token::permitCall| {
        chain.run(PAYEE, token().into(), 0, 1_000_000, call.abi_encode().into())
    };
    let now = 1_700_000_000;
    let signer = Bytes::from(PermitSigner { owner }.abi_encode());
    let late = PermitExpired { deadline: U256::from(now - 1) };
    assert_eq!(run(&permit(0, now - 1, 0)).output, Bytes::from(late.abi_encode()));
    assert_eq!(run(&permit(0, now, 1)).output, signer);
    assert_eq!(run(&permit(1, now, 0)).output, signer);
    let good = permit(0, now, 0);
    let mut twin = good.clone();
    let order = U256::from_be_bytes(hex_order());
    twin.s = (order - U256::from_be_bytes(good.s.0)).into();
    twin.v = 55 - good.v;
    assert_eq!(run(&twin).output, signer, "the other signature of the same content");
    let mut nobody = good.clone();
    (nobody.owner, nobody.v) = (Address::ZERO, 0);
    assert_eq!(
        run(&nobody).output,
        Bytes::from(PermitSigner { owner: Address::ZERO }.abi_encode())
    );
    assert!(run(&good).success);
    assert_eq!(run(&good).output, signer, "used");
    assert_eq!(chain.ask(token(), &Token::allowanceCall { owner, spender }), value);
    assert_eq!(chain.ask(token(), &Token::noncesCall { owner }), U256::from(1));
}

/// Order of secp256k1 (SEC 2).
fn hex_order() -> [u8; 32] {
    alloy_primitives::hex!("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141")
}
