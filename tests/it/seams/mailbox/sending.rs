//! Messages and coins that leave.

use super::*;

/// What a message of the user has to look like in events and slots.
fn check_sent(done: &Done, message: &Message, fee: u64, used: u32) {
    let id = message.id();
    assert!(done.success);
    assert_eq!(done.output, Bytes::from(id.to_vec()));
    assert_eq!(done.outbox, std::slice::from_ref(message));
    let terms = message.terms;
    let events = [
        abi::Dispatch {
            sender: abi::address_of(message.sender).unwrap(),
            destination: message.destination,
            recipient: message.recipient,
            message: message.encode_packed().into(),
        }
        .encode_log_data(),
        abi::DispatchId { messageId: id }.encode_log_data(),
        abi::DispatchTerms {
            messageId: id,
            gasLimit: terms.gas_limit,
            gasPrice: terms.gas_price,
            expiryMs: terms.expiry_ms,
            refundTo: terms.refund_to,
        }
        .encode_log_data(),
        abi::InsertedIntoTree { messageId: id, index: message.nonce }.encode_log_data(),
        abi::GasPayment {
            messageId: id,
            destinationDomain: message.destination,
            gasAmount: U256::from(terms.gas_limit),
            payment: U256::from(fee),
        }
        .encode_log_data(),
    ];
    assert!(done.logs.iter().all(|log| log.address == MAILBOX));
    let logs: Vec<_> = done.logs.iter().map(|log| log.data.clone()).collect();
    assert_eq!(logs[..5], events);
    let lane = LaneWord { status: LaneStatus::Active, gas_price: PRICE, block: 10, used };
    let slots = [
        (layout::NONCE, U256::from(message.nonce + 1)),
        (layout::LATEST_ID, id.into()),
        (layout::lane(message.destination), lane.to_slot()),
    ];
    assert_eq!(done.slots, slots.into());
}

#[test]
fn a_message_leaves_events_slots_and_its_fee_and_the_rest_of_the_value_stays() {
    on_all(ALL, |chain| {
        let call = dispatch(THERE, 40);
        let price = fee(DEFAULT_GAS, 40);
        let mut message = Message {
            nonce: 0,
            origin: HERE,
            sender: word_of(USER),
            destination: THERE,
            recipient: call.recipientAddress,
            body: call.messageBody.clone(),
            terms: Terms {
                gas_limit: DEFAULT_GAS,
                gas_price: PRICE,
                expiry_ms: (SECONDS + TTL) * 1_000,
                refund_to: USER,
            },
        };
        let done = chain.send(price, &call);
        check_sent(&done, &message, price, 157);
        assert_eq!((done.paid, done.logs.len()), (price, 5));
        // The same again: another id. What is above the fee goes straight back.
        message.nonce = 1;
        let done = chain.send(price + 1_000_000, &call);
        check_sent(&done, &message, price, 2 * 157);
        assert_eq!((done.paid, chain.balance(MAILBOX)), (price, 2 * price));
        // All terms chosen.
        let call = abi::dispatchWithCall {
            destinationDomain: THERE,
            recipientAddress: call.recipientAddress,
            messageBody: Bytes::new(),
            gasLimit: 1,
            ttlSeconds: 60,
            refundTo: OTHER,
        };
        let expiry_ms = (SECONDS + 60) * 1_000;
        message.terms = Terms { gas_limit: 1, gas_price: PRICE, expiry_ms, refund_to: OTHER };
        (message.nonce, message.body) = (2, Bytes::new());
        let done = chain.send(fee(1, 0), &call);
        check_sent(&done, &message, fee(1, 0), 2 * 157 + 117);
        // Nobody named to be paid back is the sender.
        (message.nonce, message.terms.refund_to) = (3, USER);
        let call = abi::dispatchWithCall { refundTo: Address::ZERO, ..call };
        check_sent(&chain.send(fee(1, 0), &call), &message, fee(1, 0), 2 * 157 + 2 * 117);
        assert_eq!(chain.ask(&nonceCall {}), 4);
        assert_eq!(chain.ask(&latestDispatchedIdCall {}), message.id());
    });
}

#[test]
fn what_cannot_be_sent_fails_and_gives_the_value_back() {
    on_all(ALL, |chain| {
        let with = |gas_limit: u64, ttl: u64, refund_to| abi::dispatchWithCall {
            destinationDomain: THERE,
            recipientAddress: B256::ZERO,
            messageBody: Bytes::new(),
            gasLimit: gas_limit,
            ttlSeconds: ttl,
            refundTo: refund_to,
        };
        let free = fee(DEFAULT_GAS, MAX_BODY_BYTES);
        let refused = [
            (fee(DEFAULT_GAS, 40) - 1, dispatch(THERE, 40).abi_encode()),
            (free, dispatch(1, 40).abi_encode()),
            (free, dispatch(HERE, 40).abi_encode()),
            (free, dispatch(PAUSED, 40).abi_encode()),
            (free, dispatch(STALLED, 40).abi_encode()),
            (2 * free, dispatch(THERE, MAX_BODY_BYTES + 1).abi_encode()),
            (free, with(1, u64::MAX, USER).abi_encode()),
            (free, with(u64::MAX, 0, USER).abi_encode()),
            (free, with(1, 0, MAILBOX).abi_encode()),
            (free, nonceCall {}.abi_encode()),
            (0, vec![1, 2, 3, 4]),
            (0, vec![1]),
            (0, dispatch(THERE, 40).abi_encode()[..99].to_vec()),
        ];
        for (index, (value, input)) in refused.into_iter().enumerate() {
            let done = chain.send(value, &Raw(input));
            assert!(!done.success && done.logs.is_empty() && done.slots.is_empty(), "{index}");
            assert_eq!((done.paid, chain.balance(MAILBOX)), (0, 0), "{index}");
        }
        let done = chain.send(free, &dispatch(THERE, MAX_BODY_BYTES));
        assert!(done.success);
    });
}

/// Calldata that no function's type would encode.
struct Raw(Vec<u8>);

impl SolCall for Raw {
    type Parameters<'a> = ();
    type Token<'a> = ();
    type Return = ();
    type ReturnTuple<'a> = ();
    type ReturnToken<'a> = ();
    const SIGNATURE: &'static str = "raw()";
    const SELECTOR: [u8; 4] = [0; 4];

    fn new((): ()) -> Self {
        Self(Vec::new())
    }
    fn tokenize(&self) {}
    fn tokenize_returns((): &()) {}
    fn abi_encode(&self) -> Vec<u8> {
        self.0.clone()
    }
    fn abi_decode_returns(_: &[u8]) -> alloy_sol_types::Result<()> {
        Ok(())
    }
}

#[test]
fn a_block_sends_so_many_bytes_to_one_chain() {
    on_all(&[Coin::Own], |chain| {
        let free = fee(DEFAULT_GAS, MAX_BODY_BYTES);
        let (size, most) = (117 + MAX_BODY_BYTES, LANE_BYTES as usize);
        for _ in 0..most / size {
            assert!(chain.send(free, &dispatch(THERE, MAX_BODY_BYTES)).success);
        }
        let left = most % size - 117;
        assert!(!chain.send(free, &dispatch(THERE, left + 1)).success);
        assert!(chain.send(free, &dispatch(THERE, left)).success);
        assert!(!chain.send(free, &dispatch(THERE, 0)).success);
        chain.env.number += 1;
        let done = chain.send(free, &dispatch(THERE, 0));
        let lane = LaneWord::from_slot(done.slots[&layout::lane(THERE)]);
        assert_eq!((lane.block, lane.used), (11, 117));
    });
}

#[test]
fn coins_leave_with_the_fee() {
    on_all(HUB, |chain| {
        let price = fee(TRANSFER_GAS, 128);
        let done = chain.send(price + 500 + 3, &transfer(500));
        let words = [word_of(OTHER), U256::from(500).into(), asset(), word_of(USER)];
        let expiry_ms = (SECONDS + TTL) * 1_000;
        let mut message = Message {
            nonce: 0,
            origin: HERE,
            sender: word_of(MAILBOX),
            destination: THERE,
            recipient: word_of(MAILBOX),
            body: words.concat().into(),
            terms: Terms { gas_limit: TRANSFER_GAS, gas_price: PRICE, expiry_ms, refund_to: USER },
        };
        check_sent(&done, &message, price, 245);
        let (destination, recipient, amount) = (THERE, word_of(OTHER), U256::from(500));
        let sent = abi::SentTransferRemote { destination, recipient, amount }.encode_log_data();
        assert_eq!((done.logs.len(), &done.logs[5].data), (6, &sent));
        assert_eq!((done.paid, chain.balance(MAILBOX)), (price + 500, price + 500));
        let mut with = abi::transferRemoteWithCall {
            destination,
            recipient,
            amount,
            ttlSeconds: 9,
            refundTo: OTHER,
        };
        let done = chain.send(price + 500, &with);
        message.nonce = 1;
        message.terms =
            Terms { expiry_ms: (SECONDS + 9) * 1_000, refund_to: OTHER, ..message.terms };
        check_sent(&done, &message, price, 2 * 245);
        // The amount is needed too, and somebody who can hold it.
        assert!(!chain.send(price + 499, &transfer(500)).success);
        assert!(!chain.send(price, &transfer(0)).success);
        for recipient in [B256::ZERO, word_of(MAILBOX), B256::repeat_byte(1)] {
            with.recipient = recipient;
            assert!(!chain.send(price + 500, &with).success, "{recipient}");
        }
        assert_eq!(chain.balance(MAILBOX), 2 * (price + 500));
    });
}

#[test]
fn quotes_are_what_sending_costs() {
    on_all(ALL, |chain| {
        let call = dispatch(THERE, 33);
        let quote = abi::quoteDispatchCall {
            destinationDomain: THERE,
            recipientAddress: B256::ZERO,
            messageBody: call.messageBody.clone(),
        };
        let price = fee(DEFAULT_GAS, 33);
        assert_eq!(chain.ask(&quote), U256::from(price));
        let with = |destination: u32, bytes: usize| abi::quoteDispatchWithCall {
            destinationDomain: destination,
            bodyBytes: U256::from(bytes),
            gasLimit: 7,
        };
        assert_eq!(chain.ask(&with(THERE, 0)), U256::from(fee(7, 0)));
        // Closed for a while is no reason to have no price.
        assert_eq!(chain.ask(&with(PAUSED, 1)), U256::from(fee(7, 1)));
        let quote = abi::quoteTransferCall { destination: THERE };
        assert_eq!(chain.ask(&quote), U256::from(fee(TRANSFER_GAS, 128)));
        for call in [with(1, 0), with(HERE, 0), with(THERE, MAX_BODY_BYTES + 1)] {
            let output = chain.call(OTHER, 0, call.abi_encode().into());
            assert_eq!(output.result, CallResult::Revert);
        }
        assert_eq!(chain.send(price, &call).paid, price);
    });
}
