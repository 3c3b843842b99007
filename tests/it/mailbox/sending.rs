//! Sending: what every overload leaves behind, what it costs, and what is refused in which words.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_sol_types::{SolCall, SolError, SolEvent, sol};
use causeway_chainspec::mailbox::{
    self, Coin, DEFAULT_GAS, Dispatch, DispatchId, DispatchTerms, GasPayment, InsertedIntoTree,
    LANE_BYTES, LaneStatus, MAILBOX, dispatchCall, dispatchWithCall, quoteDispatchCall,
    quoteDispatchWithCall, word_of,
};
use causeway_chainspec::message::MAX_BODY_BYTES;
use causeway_chainspec::{LaneItem, Message, Terms};
use causeway_tests::contracts::{Asm, op};

use super::*;

sol! {
    interface Hooked {
        function dispatch(uint32 domain, bytes32 to, bytes body, bytes metadata) external payable returns (bytes32);
        function quoteDispatch(uint32 domain, bytes32 to, bytes body, bytes metadata) external view returns (uint256);
    }
    interface CustomHook {
        function dispatch(uint32 domain, bytes32 to, bytes body, bytes metadata, address hook) external payable returns (bytes32);
        function quoteDispatch(uint32 domain, bytes32 to, bytes body, bytes metadata, address hook) external view returns (uint256);
    }
    struct ReadOperation { uint32 domain; address target; bytes callData; }
    enum FinalityState { INSTANT, FINALIZED, ESPRESSO }
    interface Router {
        function dispatch(uint32 domain, bytes32 to, ReadOperation[] reads, bytes body, FinalityState finality, uint256 gasLimit) external payable returns (bytes32);
        function quoteDispatch(uint32 domain, bytes32 to, ReadOperation[] reads, bytes body, FinalityState finality, uint256 gasLimit) external view returns (uint256);
    }
    interface AddressRouter {
        function dispatch(uint32 domain, address to, ReadOperation[] reads, bytes body, FinalityState finality, uint256 gasLimit) external payable returns (bytes32);
        function quoteDispatch(uint32 domain, address to, ReadOperation[] reads, bytes body, FinalityState finality, uint256 gasLimit) external view returns (uint256);
    }
}

const BODY: &[u8] = b"hello, other chain";

fn to() -> B256 {
    word_of(OTHER)
}

fn fee(gas_limit: u64, body: usize) -> u128 {
    Terms { gas_limit, gas_price: PRICE, ..Default::default() }.fee(body).to()
}

fn plain(body: &[u8]) -> dispatchCall {
    let body = Bytes::copy_from_slice(body);
    dispatchCall { destinationDomain: THERE, recipientAddress: to(), messageBody: body }
}

fn with(gas_limit: u64, ttl: u64, refund_to: Address) -> dispatchWithCall {
    dispatchWithCall {
        destinationDomain: THERE,
        recipientAddress: to(),
        messageBody: BODY.into(),
        gasLimit: gas_limit,
        ttlSeconds: ttl,
        refundTo: refund_to,
    }
}

/// Hook metadata of variant 1, cut after so many bytes.
fn metadata(variant: u16, value: u64, gas: u64, refund: Address, length: usize) -> Bytes {
    let mut bytes = variant.to_be_bytes().to_vec();
    bytes.extend_from_slice(&U256::from(value).to_be_bytes::<32>());
    bytes.extend_from_slice(&U256::from(gas).to_be_bytes::<32>());
    bytes.extend_from_slice(refund.as_slice());
    bytes.truncate(length);
    bytes.into()
}

fn hooked(metadata: Bytes) -> Hooked::dispatchCall {
    Hooked::dispatchCall { domain: THERE, to: to(), body: BODY.into(), metadata }
}

fn custom(metadata: Bytes, hook: Address) -> CustomHook::dispatchCall {
    CustomHook::dispatchCall { domain: THERE, to: to(), body: BODY.into(), metadata, hook }
}

fn router(gas_limit: U256, reads: Vec<ReadOperation>) -> Router::dispatchCall {
    let finality = FinalityState::INSTANT;
    Router::dispatchCall {
        domain: THERE,
        to: to(),
        reads,
        body: BODY.into(),
        finality,
        gasLimit: gas_limit,
    }
}

fn id_of(done: &Done) -> B256 {
    assert!(done.success, "{done:?}");
    B256::from_slice(&done.output)
}

fn refused(done: Done, error: impl SolError) {
    assert!(!done.success && done.outbox.is_empty());
    assert_eq!(done.output, Bytes::from(error.abi_encode()), "another error");
}

#[test]
fn a_message_is_logged_in_full_and_read_back_by_the_protocol() {
    let mut chain = Chain::new(Coin::Own);
    chain.set(mailbox::layout::NONCE, U256::from(5));
    let done = chain.send(USER, fee(DEFAULT_GAS, BODY.len()), &plain(BODY));
    let id = id_of(&done);
    let terms = Terms {
        gas_limit: DEFAULT_GAS,
        gas_price: PRICE,
        // Whole seconds, as contracts see time.
        expiry_ms: (1_700_000_000 + TTL) * 1_000,
        refund_to: USER,
    };
    let message = Message {
        nonce: 5,
        origin: HERE,
        sender: word_of(USER),
        destination: THERE,
        recipient: to(),
        body: BODY.into(),
        terms,
    };
    assert_eq!(id, message.id());
    assert_eq!(done.outbox, std::slice::from_ref(&message));
    let topics: Vec<_> = done.logs.iter().map(|log| log.topics()[0]).collect();
    assert_eq!(
        topics,
        [
            Dispatch::SIGNATURE_HASH,
            DispatchId::SIGNATURE_HASH,
            DispatchTerms::SIGNATURE_HASH,
            InsertedIntoTree::SIGNATURE_HASH,
            GasPayment::SIGNATURE_HASH
        ]
    );
    let sent = Dispatch::decode_log(&done.logs[0]).unwrap();
    assert_eq!((sent.sender, sent.destination, sent.recipient), (USER, THERE, to()));
    let placed = InsertedIntoTree::decode_log(&done.logs[3]).unwrap();
    assert_eq!((placed.messageId, placed.index), (id, 5));
    let paid = GasPayment::decode_log(&done.logs[4]).unwrap();
    let wei = U256::from(fee(DEFAULT_GAS, BODY.len()));
    assert_eq!((paid.messageId, paid.destinationDomain), (id, THERE));
    assert_eq!((paid.gasAmount, paid.payment), (U256::from(DEFAULT_GAS), wei));
    assert_eq!(chain.ask(MAILBOX, &Views::nonceCall {}), 6);
    assert_eq!(chain.ask(MAILBOX, &Views::latestDispatchedIdCall {}), id);
    assert_eq!(chain.balance(MAILBOX), fee(DEFAULT_GAS, BODY.len()));
    let word = chain.lane_word();
    let size = LaneItem::Message(message).size() as u32;
    assert_eq!((word.gas_price, word.block, word.used), (PRICE, 10, size));
}

/// Sends a call with one wei more than its quote: it comes back.
fn exact(chain: &mut Chain, call: &impl SolCall, quote: U256, terms: (u64, Address)) {
    let (before, held) = (chain.balance(USER), chain.balance(MAILBOX));
    let wei: u128 = quote.to();
    let done = chain.send(USER, wei + 1, call);
    let id = id_of(&done);
    let [message] = &done.outbox[..] else { panic!("{done:?}") };
    assert_eq!((message.id(), message.sender), (id, word_of(USER)));
    assert_eq!((message.recipient, &message.body[..]), (to(), BODY));
    assert_eq!((message.terms.gas_limit, message.terms.refund_to), terms);
    assert_eq!(message.terms.fee(BODY.len()), quote);
    assert_eq!((chain.balance(USER), chain.balance(MAILBOX)), (before - wei, held + wei));
    let short = chain.send(USER, wei - 1, call);
    refused(short, ValueTooLow { required: quote, missing: U256::from(1) });
}

#[test]
fn every_overload_costs_its_quote_and_returns_the_id() {
    let mut chain = Chain::new(Coin::Own);
    let body = Bytes::from(BODY);
    let quote = chain.ask(
        MAILBOX,
        &quoteDispatchCall {
            destinationDomain: THERE,
            recipientAddress: to(),
            messageBody: body.clone(),
        },
    );
    assert_eq!(quote, U256::from(fee(DEFAULT_GAS, BODY.len())));
    exact(&mut chain, &plain(BODY), quote, (DEFAULT_GAS, USER));

    let full = metadata(1, 0, 33_000, OTHER, 86);
    for (data, terms) in [
        (Bytes::new(), (DEFAULT_GAS, USER)),
        (metadata(1, 0, 0, OTHER, 2), (DEFAULT_GAS, USER)),
        (metadata(1, 0, 33_000, OTHER, 65), (DEFAULT_GAS, USER)),
        (metadata(1, 0, 33_000, OTHER, 85), (33_000, USER)),
        (full.clone(), (33_000, OTHER)),
        // As Hyperlane's `overrideRefundAddress` and `overrideGasLimit` write it.
        (metadata(1, 0, 0, OTHER, 86), (DEFAULT_GAS, OTHER)),
        (metadata(1, 0, 33_000, Address::ZERO, 86), (33_000, USER)),
    ] {
        let ask = Hooked::quoteDispatchCall {
            domain: THERE,
            to: to(),
            body: body.clone(),
            metadata: data.clone(),
        };
        let quote = chain.ask(MAILBOX, &ask);
        exact(&mut chain, &hooked(data), quote, terms);
    }
    for hook in [Address::ZERO, MAILBOX] {
        let ask = CustomHook::quoteDispatchCall {
            domain: THERE,
            to: to(),
            body: body.clone(),
            metadata: full.clone(),
            hook,
        };
        let quote = chain.ask(MAILBOX, &ask);
        exact(&mut chain, &custom(full.clone(), hook), quote, (33_000, OTHER));
    }
    let gas_limit = U256::from(44_000);
    for finality in [FinalityState::INSTANT, FinalityState::FINALIZED, FinalityState::ESPRESSO] {
        let ask = Router::quoteDispatchCall {
            domain: THERE,
            to: to(),
            reads: vec![],
            body: body.clone(),
            finality,
            gasLimit: gas_limit,
        };
        let quote = chain.ask(MAILBOX, &ask);
        let call = Router::dispatchCall { finality, ..router(gas_limit, vec![]) };
        exact(&mut chain, &call, quote, (44_000, USER));
    }
    let (finality, reads) = (FinalityState::FINALIZED, vec![]);
    let ask = AddressRouter::quoteDispatchCall {
        domain: THERE,
        to: OTHER,
        reads: vec![],
        body: body.clone(),
        finality,
        gasLimit: gas_limit,
    };
    let quote = chain.ask(MAILBOX, &ask);
    let call = AddressRouter::dispatchCall {
        domain: THERE,
        to: OTHER,
        reads,
        body,
        finality,
        gasLimit: gas_limit,
    };
    exact(&mut chain, &call, quote, (44_000, USER));
    let ask = quoteDispatchWithCall {
        destinationDomain: THERE,
        bodyBytes: U256::from(BODY.len()),
        gasLimit: 55_000,
    };
    let quote = chain.ask(MAILBOX, &ask);
    exact(&mut chain, &with(55_000, 0, OTHER), quote, (55_000, OTHER));
    exact(&mut chain, &with(55_000, 0, Address::ZERO), quote, (55_000, USER));
    let ask = Views::quoteGasPaymentCall { domain: THERE, gasAmount: U256::from(9) };
    assert_eq!(chain.ask(MAILBOX, &ask), U256::from(fee(9, 0)));
}

#[test]
fn a_fee_is_the_protocols_to_the_last_wei() {
    let mut chain = Chain::new(Coin::Own);
    for gas_price in [0, 1, 1_234_567_891, u64::MAX] {
        let word = LaneWord { status: LaneStatus::Active, gas_price, block: u64::MAX, used: 5 };
        chain.set(mailbox::layout::lane(THERE), word.to_slot());
        for gas_limit in [0, 200_000, u64::MAX] {
            for bytes in [0, 1, MAX_BODY_BYTES] {
                let ask = quoteDispatchWithCall {
                    destinationDomain: THERE,
                    bodyBytes: U256::from(bytes),
                    gasLimit: gas_limit,
                };
                let terms = Terms { gas_limit, gas_price, ..Default::default() };
                assert_eq!(chain.ask(MAILBOX, &ask), terms.fee(bytes));
            }
        }
        let wei = Terms { gas_limit: 9, gas_price, ..Default::default() }.fee(BODY.len());
        chain.fund(USER, wei.to());
        let done = chain.send(USER, wei.to(), &with(9, 0, USER));
        assert_eq!(done.outbox[0].terms.gas_price, gas_price);
        let used = 117 + BODY.len() as u32;
        assert_eq!(chain.lane_word(), LaneWord { block: 10, used, ..word });
    }
}

#[test]
fn a_lifetime_is_chosen_or_the_chains() {
    let mut chain = Chain::new(Coin::Own);
    let wei = fee(9, BODY.len());
    let ms = |seconds: u64| (1_700_000_000 + seconds) * 1_000;
    for (ttl, expiry) in [(0, ms(TTL)), (1, ms(1)), (86_400, ms(86_400))] {
        let done = chain.send(USER, wei, &with(9, ttl, USER));
        assert_eq!(done.outbox[0].terms.expiry_ms, expiry);
    }
    let last = u64::MAX / 1_000 - 1_700_000_000;
    assert!(chain.send(USER, wei, &with(9, last, USER)).success);
    refused(chain.send(USER, wei, &with(9, last + 1, USER)), TtlTooLong { ttlSeconds: last + 1 });
    let endless = u64::MAX;
    refused(chain.send(USER, wei, &with(9, endless, USER)), TtlTooLong { ttlSeconds: endless });
}

#[test]
fn what_cannot_be_sent_is_refused_in_clear_words() {
    let mut chain = Chain::new(Coin::Own);
    let wei = ETHER;
    let mut home = plain(BODY);
    home.destinationDomain = HERE;
    refused(chain.send(USER, wei, &home), OwnDomain { domain: HERE });
    let mut nowhere = plain(BODY);
    nowhere.destinationDomain = 9;
    refused(chain.send(USER, wei, &nowhere), LaneClosed { domain: 9, status: 0 });
    let unknown =
        quoteDispatchWithCall { destinationDomain: 9, bodyBytes: U256::ZERO, gasLimit: 1 };
    let error = LaneClosed { domain: 9, status: 0 }.abi_encode();
    assert_eq!(chain.try_ask(MAILBOX, &unknown), Err(error.into()));
    for status in [LaneStatus::Stalled, LaneStatus::Paused] {
        chain.lane(status);
        let error = LaneClosed { domain: THERE, status: status as u8 };
        refused(chain.send(USER, wei, &plain(BODY)), error);
        assert_eq!(chain.ask(MAILBOX, &Views::laneStatusCall { domain: THERE }), status as u8);
    }
    chain.lane(LaneStatus::Active);
    for data in [
        metadata(2, 0, 1, OTHER, 86),
        metadata(1, 1, 1, OTHER, 86),
        Bytes::from_static(&[0]),
        Bytes::from_static(&[1]),
    ] {
        refused(chain.send(USER, wei, &hooked(data)), UnknownMetadata {});
    }
    refused(chain.send(USER, wei, &custom(Bytes::new(), OTHER)), UnknownHook { hook: OTHER });
    let read = ReadOperation { domain: THERE, target: OTHER, callData: Bytes::new() };
    refused(chain.send(USER, wei, &router(U256::from(1), vec![read])), ReadsNotSupported {});
    let gas = U256::from(u64::MAX) + U256::from(1);
    refused(chain.send(USER, wei, &router(gas, vec![])), GasLimitTooHigh { gasLimit: gas });
    refused(chain.send(USER, wei, &with(1, 0, MAILBOX)), ReservedAddress {});
    // Nobody has the Mailbox's key; if anything ever spoke in its name, it is no transfer.
    chain.fund(MAILBOX, ETHER);
    refused(chain.send(MAILBOX, wei, &plain(BODY)), ReservedAddress {});
    let process = Views::processCall { metadata: Bytes::new(), message: Bytes::new() };
    refused(chain.send(USER, 0, &process), BlocksDeliver {});
    assert!(!chain.run(USER, MAILBOX.into(), 1, 100_000, Bytes::new()).success, "took a gift");
    assert_eq!(chain.ask(MAILBOX, &Views::nonceCall {}), 0);
    assert_eq!(chain.lane_word().used, 0);
}

#[test]
fn a_block_sends_so_many_bytes_and_the_next_one_again() {
    let mut chain = Chain::new(Coin::Own);
    let too_long = vec![7; MAX_BODY_BYTES + 1];
    let (length, most) = (U256::from(too_long.len()), U256::from(MAX_BODY_BYTES));
    refused(chain.send(USER, ETHER, &plain(&too_long)), BodyTooLong { length, most });
    let long = vec![7; MAX_BODY_BYTES];
    for _ in 0..3 {
        assert!(chain.send(USER, ETHER, &plain(&long)).success);
    }
    let left = LANE_BYTES - 3 * (117 + MAX_BODY_BYTES as u32);
    let asked = 117 + MAX_BODY_BYTES as u32;
    let error =
        LaneFull { domain: THERE, bytesLeft: U256::from(left), bytesAsked: U256::from(asked) };
    refused(chain.send(USER, ETHER, &plain(&long)), error);
    let rest = vec![7; left as usize - 117];
    assert!(chain.send(USER, ETHER, &plain(&rest)).success, "exactly what is left");
    assert_eq!(chain.lane_word().used, LANE_BYTES);
    let error = LaneFull { domain: THERE, bytesLeft: U256::ZERO, bytesAsked: U256::from(117) };
    refused(chain.send(USER, ETHER, &plain(b"")), error);
    chain.env.number += 1;
    assert!(chain.send(USER, ETHER, &plain(&long)).success);
    let word = chain.lane_word();
    assert_eq!((word.block, word.used), (11, asked));
    assert_eq!((word.status, word.gas_price), (LaneStatus::Active, PRICE));
}

#[test]
fn what_is_left_goes_back_to_whoever_called_or_nothing_happens() {
    let mut chain = Chain::new(Coin::Own);
    let wei = fee(DEFAULT_GAS, 0);
    // Calls the Mailbox with its own call data and all it got; takes nothing back.
    let proxy = |on_refund: &[u8]| {
        let forward = Asm::new()
            .ops(&[op::CALLDATASIZE, op::PUSH0, op::PUSH0, op::CALLDATACOPY, op::PUSH0, op::PUSH0])
            .ops(&[op::CALLDATASIZE, op::PUSH0, op::CALLVALUE, 0x73])
            .ops(MAILBOX.as_slice())
            .ops(&[op::GAS, op::CALL, op::PUSH0, op::MSTORE])
            .push(32)
            .ops(&[op::PUSH0, op::RETURN])
            .code();
        // No call data: the refund.
        let jump = 4 + on_refund.len() as u8;
        let mut code = vec![op::CALLDATASIZE, 0x60, jump, 0x57];
        code.extend_from_slice(on_refund);
        code.push(op::JUMPDEST);
        code.extend_from_slice(&forward);
        code
    };
    let (stubborn, willing) = (Address::repeat_byte(0x51), Address::repeat_byte(0x52));
    chain.contract(stubborn, &proxy(&[op::PUSH0, op::PUSH0, op::REVERT]));
    chain.contract(willing, &proxy(&[op::STOP]));
    let input: Bytes = plain(b"").abi_encode().into();
    for (proxy, wei, sent) in
        [(stubborn, wei, true), (stubborn, wei + 1, false), (willing, wei + 1, true)]
    {
        let held = chain.balance(MAILBOX);
        let done = chain.run(USER, proxy.into(), wei, 1_000_000, input.clone());
        assert_eq!(U256::from_be_slice(&done.output), U256::from(sent as u8));
        assert_eq!(done.outbox.len(), usize::from(sent));
        assert_eq!(chain.balance(MAILBOX) > held, sent);
        if sent {
            assert_eq!(done.outbox[0].sender, word_of(proxy));
            assert_eq!(done.outbox[0].terms.refund_to, proxy);
        }
    }
    assert_eq!(chain.balance(willing), 1);
    assert_eq!(chain.balance(stubborn), wei + 1, "a caller that takes nothing back keeps all");
}

#[test]
fn constant_answers_are_those_hyperlanes_tools_expect() {
    let chain = Chain::new(Coin::Home);
    assert_eq!(chain.ask(MAILBOX, &Views::localDomainCall {}), HERE);
    assert_eq!(chain.ask(MAILBOX, &Views::VERSIONCall {}), 3);
    assert_eq!(chain.ask(MAILBOX, &Views::deployedBlockCall {}), U256::ZERO);
    assert_eq!(chain.ask(MAILBOX, &Views::defaultIsmCall {}), MAILBOX);
    assert_eq!(chain.ask(MAILBOX, &Views::recipientIsmCall { recipient: OTHER }), MAILBOX);
    assert_eq!(chain.ask(MAILBOX, &Views::defaultHookCall {}), MAILBOX);
    assert_eq!(chain.ask(MAILBOX, &Views::requiredHookCall {}), MAILBOX);
    assert_eq!(chain.ask(MAILBOX, &Views::igpCall {}), MAILBOX);
    assert_eq!(chain.ask(MAILBOX, &Views::hubAssetCall {}), hub_asset());
    assert_eq!(chain.ask(MAILBOX, &Views::coinCall {}), Coin::Home as u8);
    assert_eq!(chain.ask(MAILBOX, &Views::gasPriceCall { domain: THERE }), PRICE);
    for (domain, router) in [(HERE, MAILBOX), (THERE, MAILBOX), (9, Address::ZERO)] {
        assert_eq!(chain.ask(MAILBOX, &Views::routerAddressesCall { domain }), router);
    }
    let unknown = keccak256("unknown");
    assert!(!chain.ask(MAILBOX, &Views::deliveredCall { id: unknown }));
    assert!(chain.try_ask(MAILBOX, &Views::latestCheckpointCall {}).is_err(), "of no leaf");
}
