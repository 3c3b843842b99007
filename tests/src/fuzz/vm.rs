//! Call data for the Mailbox: what the ledger VM does natively, against its contract on the EVM.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use alloy_sol_types::SolCall;
use causeway_chainspec::mailbox::{
    self, COURIER, Coin, LaneStatus, LaneWord, MAILBOX, dispatchCall, dispatchWithCall, layout,
    quoteDispatchCall, quoteDispatchWithCall, quoteTransferCall, refundCall, transferRemoteCall,
    transferRemoteWithCall, word_of,
};
use causeway_chainspec::metalayer::asset_id;
use causeway_chainspec::{Account, BlockEnv, Fork, Message, StateError, StateReader, Terms};
use causeway_execution::vm::CallResult;
use causeway_execution::{Call, CallOutput, Vm, VmError};

use super::lab;
use crate::mesh::{THREE, specs};

const HERE: u32 = 901;
const THERE: u32 = 902;
const USER: Address = Address::repeat_byte(0x11);

/// A member's Mailbox, and somebody rich.
struct State(BTreeMap<U256, U256>);

impl StateReader for State {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        let rich = Account { balance: U256::from(1u64 << 60), ..Account::default() };
        Ok(match address {
            MAILBOX => {
                Some(Account { nonce: 1, bytecode_hash: Some(keccak256(mailbox::CODE)), ..rich })
            }
            USER | COURIER => Some(rich),
            _ => None,
        })
    }
    fn slot(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        let found = self.0.get(&slot).filter(|_| address == MAILBOX);
        Ok(found.copied().unwrap_or_default())
    }
    fn code(&self, hash: B256) -> Result<Option<Bytes>, StateError> {
        Ok((hash == keccak256(mailbox::CODE)).then(|| Bytes::from_static(mailbox::CODE)))
    }
    fn block_hash(&self, _number: u64) -> Result<Option<B256>, StateError> {
        Ok(None)
    }
}

struct Machines {
    state: State,
    env: BlockEnv,
    ledger: Arc<dyn Vm>,
    evm: Arc<dyn Vm>,
}

static MACHINES: LazyLock<Machines> = LazyLock::new(|| {
    let word = LaneWord { status: LaneStatus::Active, gas_price: 3, ..Default::default() };
    let slots = BTreeMap::from([
        (layout::LOCAL_DOMAIN, U256::from(HERE)),
        (layout::TTL, U256::from(3600)),
        (layout::COIN, U256::from(Coin::Home as u8)),
        (layout::HUB_ASSET, asset().into()),
        (layout::lane(THERE), word.to_slot()),
    ]);
    let specs = specs(&THREE).expect("the network's specs are right");
    let env = BlockEnv {
        chain_id: HERE.into(),
        number: 10,
        time_ms: 1_700_000_000_777,
        fork: Fork::Osaka,
        beneficiary: Address::ZERO,
        gas_limit: 100_000_000,
        gas_available: 100_000_000,
        bytes_available: 1 << 20,
        base_fee: 7,
        mix_hash: B256::ZERO,
        difficulty: U256::ZERO,
        blob_base_fee: 1,
    };
    let open = |open: causeway_execution::Open, at: usize| open(&specs[at]).expect("a VM opens");
    Machines {
        state: State(slots),
        env,
        ledger: open(causeway_execution::ledger::open, 2),
        evm: open(causeway_execution::evm::open, 0),
    }
});

fn asset() -> B256 {
    asset_id(HERE, Address::ZERO)
}

/// The first byte says who calls and with how much, the rest is call data.
pub(super) fn mailbox(bytes: &[u8]) {
    let Some((kind, input)) = bytes.split_first() else { return };
    let machines = &*MACHINES;
    let courier = kind & 1 == 1;
    let call = Call {
        from: if courier { COURIER } else { USER },
        to: TxKind::Call(MAILBOX),
        value: U256::from(kind >> 1) * U256::from(100_000),
        gas_limit: 15_000_000,
        input: Bytes::copy_from_slice(input),
        ..Call::default()
    };
    let run = |vm: &Arc<dyn Vm>| vm.call(&machines.state, &machines.env, &call);
    let native = match run(&machines.ledger) {
        Ok(native) => native,
        // Without call data the Mailbox is an account with code, which takes no coins there.
        Err(VmError::Invalid(_)) if input.is_empty() => return,
        Err(error) => failed(&error),
    };
    assert!(native.gas_used <= call.gas_limit);
    // Deliveries differ on purpose: the ledger has no contracts, and no tokens.
    if courier {
        return;
    }
    let contract = run(&machines.evm).unwrap_or_else(|error| failed(&error));
    let ran = |output: &CallOutput| output.result == CallResult::Success;
    assert_eq!(ran(&native), ran(&contract), "native {native:?}\ncontract {contract:?}");
    if ran(&native) {
        assert_eq!(native.output, contract.output);
        assert_eq!(native.logs, contract.logs);
    }
}

fn failed(error: &VmError) -> CallOutput {
    panic!("the vm gave no answer: {error}")
}

pub(super) fn mailbox_seeds() -> Vec<Vec<u8>> {
    let (recipient, body) = (word_of(USER), Bytes::from_static(b"hello"));
    let (destination, amount) = (THERE, U256::from(1000));
    let message = Message {
        nonce: 5,
        origin: THERE,
        sender: word_of(USER),
        destination: HERE,
        recipient,
        body: body.clone(),
        terms: Terms::default(),
    };
    let coins = [recipient, U256::from(5).into(), asset(), word_of(USER)].concat();
    let transfer = Message {
        sender: word_of(MAILBOX),
        recipient: word_of(MAILBOX),
        body: coins.into(),
        ..message
    };
    let deliver = |message: &Message| mailbox::deliverCall {
        message: message.encode_packed().into(),
        gasLimit: 150_000,
    };
    let send = dispatchCall {
        destinationDomain: destination,
        recipientAddress: recipient,
        messageBody: body.clone(),
    };
    let with = dispatchWithCall {
        destinationDomain: destination,
        recipientAddress: recipient,
        messageBody: body.clone(),
        gasLimit: 1000,
        ttlSeconds: 60,
        refundTo: USER,
    };
    let remote = transferRemoteCall { destination, recipient, amount };
    let remote_with =
        transferRemoteWithCall { destination, recipient, amount, ttlSeconds: 60, refundTo: USER };
    let quote = quoteDispatchCall {
        destinationDomain: destination,
        recipientAddress: recipient,
        messageBody: body,
    };
    let quote_with = quoteDispatchWithCall {
        destinationDomain: destination,
        bodyBytes: U256::from(5),
        gasLimit: 1000,
    };
    let refund = refundCall { messageId: B256::ZERO, asset: asset(), to: USER, amount };
    let mut seeds = vec![
        (254, send.abi_encode()),
        (254, with.abi_encode()),
        (254, remote.abi_encode()),
        (254, remote_with.abi_encode()),
        (0, quote.abi_encode()),
        (0, quote_with.abi_encode()),
        (0, quoteTransferCall { destination }.abi_encode()),
        (1, deliver(&message).abi_encode()),
        (1, deliver(&transfer).abi_encode()),
        (1, refund.abi_encode()),
    ];
    seeds.extend(lab::mailbox_views().into_iter().map(|view| (0, view)));
    seeds.into_iter().map(|(kind, input)| [&[kind], &input[..]].concat()).collect()
}
