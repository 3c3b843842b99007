//! Random calls of the Mailbox, and deliveries to it.

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::SolCall;
use causeway_chainspec::mailbox::{self as abi, COURIER, DEFAULT_GAS, MAILBOX, TRANSFER_GAS};
use causeway_chainspec::{Message, SystemCall, Terms};
use causeway_tests::txs::{Draft, Rng};

use super::world::{ASSET, DOMAIN, DOMAINS, LANE_PRICE};

/// Lets a draft call the Mailbox, with the value and gas it needs, mostly.
pub(super) fn call(rng: &mut Rng, draft: &mut Draft, people: &[Address]) {
    let domain = if rng.percent(75) { DOMAINS[0].0 } else { 70 + rng.below(6) as u32 };
    let recipient = word(rng, people);
    let (body, gas_limit) = (body(rng), rng.below(300_000));
    let (ttl, refund) = (*rng.pick(&[0, 0, 60, u64::MAX]), *rng.pick(people));
    let refund = if rng.percent(50) { Address::ZERO } else { refund };
    let amount = U256::from(*rng.pick(&[0u64, 1, 1, 1_000, 1 << 40]));
    let fee = |gas: u64, bytes: usize| {
        Terms { gas_limit: gas, gas_price: LANE_PRICE, ..Default::default() }.fee(bytes)
    };
    let size = body.len();
    let (input, value) = match rng.below(9) {
        0 | 1 => {
            let call = abi::dispatchCall {
                destinationDomain: domain,
                recipientAddress: recipient,
                messageBody: body,
            };
            (call.abi_encode(), fee(DEFAULT_GAS, size))
        }
        2 | 3 => {
            let call = abi::dispatchWithCall {
                destinationDomain: domain,
                recipientAddress: recipient,
                messageBody: body,
                gasLimit: gas_limit,
                ttlSeconds: ttl,
                refundTo: refund,
            };
            (call.abi_encode(), fee(gas_limit, size))
        }
        4 => {
            let call = abi::transferRemoteCall { destination: domain, recipient, amount };
            (call.abi_encode(), fee(TRANSFER_GAS, 128) + amount)
        }
        5 => {
            let call = abi::transferRemoteWithCall {
                destination: domain,
                recipient,
                amount,
                ttlSeconds: ttl,
                refundTo: refund,
            };
            (call.abi_encode(), fee(TRANSFER_GAS, 128) + amount)
        }
        6 => (abi::quoteTransferCall { destination: domain }.abi_encode(), U256::ZERO),
        7 => {
            let size = 1 + rng.below(40) as usize;
            (rng.bytes(size), U256::ZERO)
        }
        _ => (Vec::new(), U256::ONE),
    };
    let torn = rng.percent(6) && input.len() > 40;
    let input = if torn { input[..40].to_vec() } else { input };
    draft.to = MAILBOX.into();
    draft.gas_limit = 90_000 + 40 * input.len() as u64 - rng.below(30_000);
    draft.input = input.into();
    draft.value = match rng.below(10) {
        0 => value.saturating_sub(U256::ONE),
        1 => value + U256::from(5),
        _ => value,
    };
}

/// What the courier brings: coins or a text, for anybody.
pub(super) fn delivery(rng: &mut Rng, people: &[Address]) -> SystemCall {
    let recipient = word(rng, people);
    let transfer = rng.percent(60);
    let (sender, to, body): (_, _, Bytes) = if transfer {
        let amount = U256::from(*rng.pick(&[0, 1, 1, 1_000]));
        let words = [recipient, amount.into(), ASSET.into(), recipient];
        (abi::word_of(MAILBOX), abi::word_of(MAILBOX), words.concat().into())
    } else {
        (word(rng, people), recipient, body(rng))
    };
    let message = Message {
        nonce: rng.below(20) as u32,
        origin: DOMAINS[0].0,
        sender,
        destination: if rng.percent(90) { DOMAIN } else { DOMAIN + 9 },
        recipient: to,
        body,
        terms: Terms::default(),
    };
    let message = message.encode_packed().into();
    SystemCall {
        from: if rng.percent(90) { COURIER } else { *rng.pick(people) },
        to: MAILBOX,
        mint: 0,
        value: U256::ZERO,
        gas_limit: 60_000 + rng.below(300_000),
        input: abi::deliverCall { message, gasLimit: 50_000 }.abi_encode().into(),
    }
}

fn word(rng: &mut Rng, people: &[Address]) -> B256 {
    let mut word = abi::word_of(*rng.pick(people));
    if rng.percent(8) {
        word[0] = 1;
    }
    word
}

fn body(rng: &mut Rng) -> Bytes {
    let size = rng.below(200) as usize;
    rng.bytes(size).into()
}
