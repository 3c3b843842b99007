//! Messages and coins that arrive, and what can be asked.

use super::*;

fn check_delivered(done: &Done, message: &Message, more: usize) {
    let (origin, sender) = (message.origin, message.sender);
    let recipient = abi::address_of(message.recipient).unwrap();
    let process = abi::Process { origin, sender, recipient }.encode_log_data();
    let id = abi::ProcessId { messageId: message.id() }.encode_log_data();
    assert_eq!((&done.logs[0].data, &done.logs[1].data), (&process, &id));
    assert_eq!(done.logs.len(), 2 + more);
    let slot = layout::entry(message.id(), layout::RECEIVED);
    assert_eq!(done.slots, BTreeMap::from([(slot, U256::from(1 | 10 << 8))]));
}

#[test]
fn a_message_is_delivered_once_and_by_the_courier_alone() {
    on_all(ALL, |chain| {
        let (taker, other) = if chain.contracts { (CONTRACT, OTHER) } else { (OTHER, CONTRACT) };
        let message = arriving(USER, word_of(taker), Bytes::from_static(b"hello"));
        assert_eq!(chain.deliver(USER, &message).0, None);
        assert!(!chain.ask(&deliveredCall { messageId: message.id() }));
        let (status, done) = chain.deliver(COURIER, &message);
        assert_eq!(status, Some(DeliveryStatus::Delivered));
        check_delivered(&done, &message, 0);
        assert!(chain.ask(&deliveredCall { messageId: message.id() }));
        let at = chain.ask(&processedAtCall { messageId: message.id() });
        assert_eq!(u64::try_from(at).unwrap(), 10);
        assert_eq!(chain.deliver(COURIER, &message).0, None, "again");
        let elsewhere = Message { destination: THERE, ..message.clone() };
        assert_eq!(chain.deliver(COURIER, &elsewhere).0, None);
        for (recipient, want) in [
            (word_of(other), DeliveryStatus::NoRecipient),
            (B256::repeat_byte(1), DeliveryStatus::NoRecipient),
            (word_of(MAILBOX), DeliveryStatus::Malformed),
        ] {
            let message = arriving(USER, recipient, Bytes::new());
            let (status, done) = chain.deliver(COURIER, &message);
            assert_eq!(status, Some(want));
            assert!(done.logs.is_empty() && done.slots.is_empty());
        }
    });
}

#[test]
fn coins_arrive_from_what_the_mailbox_holds() {
    on_all(HUB, |chain| {
        chain.set_balance(MAILBOX, 1_000);
        let message = coins(word_of(OTHER), 600, asset());
        let (status, done) = chain.deliver(COURIER, &message);
        assert_eq!(status, Some(DeliveryStatus::Delivered));
        check_delivered(&done, &message, 1);
        let (origin, recipient, amount) = (THERE, word_of(OTHER), U256::from(600));
        let event = abi::ReceivedTransferRemote { origin, recipient, amount };
        assert_eq!(done.logs[2].data, event.encode_log_data());
        assert_eq!((chain.balance(MAILBOX), chain.balance(OTHER)), (400, RICH + 600));
        // To an account that was not there before.
        let fresh = Address::repeat_byte(0x44);
        let status = chain.deliver(COURIER, &coins(word_of(fresh), 100, asset())).0;
        assert_eq!((status, chain.balance(fresh)), (Some(DeliveryStatus::Delivered), 100));
        let mut long = coins(word_of(OTHER), 1, asset());
        long.body = [&long.body[..], &[0]].concat().into();
        for (message, want) in [
            (long, DeliveryStatus::Malformed),
            (coins(word_of(OTHER), 301, asset()), DeliveryStatus::Reverted),
            (coins(word_of(OTHER), 0, asset()), DeliveryStatus::Malformed),
            (coins(word_of(OTHER), 1, B256::ZERO), DeliveryStatus::Malformed),
            (coins(word_of(MAILBOX), 1, asset()), DeliveryStatus::Malformed),
            (coins(B256::ZERO, 1, asset()), DeliveryStatus::Malformed),
            (coins(B256::repeat_byte(1), 1, asset()), DeliveryStatus::Malformed),
        ] {
            let (status, done) = chain.deliver(COURIER, &message);
            assert_eq!(status, Some(want), "{message:?}");
            assert!(done.logs.is_empty() && done.slots.is_empty());
        }
        assert_eq!(chain.balance(MAILBOX), 300);
    });
}

#[test]
fn views_read_what_the_protocol_wrote() {
    on_all(ALL, |chain| {
        assert_eq!(chain.ask(&localDomainCall {}), HERE);
        assert_eq!((chain.ask(&nonceCall {}), chain.ask(&countCall {})), (0, 0));
        // The root of Hyperlane's empty tree.
        let empty = "0x27ae5ba08d7291c96c8cbddcc148bf48a6d68c7974b94356f53754ef6171d757";
        assert_eq!(chain.ask(&rootCall {}), empty.parse::<B256>().unwrap());
        // Three leaves: the branch holds the newest alone, and the hash of the first two.
        let (pair, third) = (B256::repeat_byte(1), B256::repeat_byte(2));
        chain.slots.insert(layout::TREE_COUNT, U256::from(3));
        chain.slots.insert(U256::from(layout::BRANCH), third.into());
        chain.slots.insert(U256::from(layout::BRANCH + 1), pair.into());
        let hash = |left: B256, right: B256| keccak256([left, right].concat());
        let mut zero = hash(B256::ZERO, B256::ZERO);
        let mut node = hash(pair, hash(third, B256::ZERO));
        for _ in 2..32 {
            zero = hash(zero, zero);
            node = hash(node, zero);
        }
        assert_eq!((chain.ask(&rootCall {}), chain.ask(&countCall {})), (node, 3));
    });
}
