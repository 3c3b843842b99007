//! The committed code of the Mailbox on the EVM: what senders, recipients and the courier see.

mod delivery;
mod sending;
mod transfers;

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, Log, TxKind, U256, keccak256};
use alloy_sol_types::{SolCall, SolValue, sol};
use causeway_chainspec::mailbox::{
    self, COURIER, Coin, LaneStatus, LaneWord, MAILBOX, TransferBody, deliverCall, layout, word_of,
};
use causeway_chainspec::message::DELIVERY_GAS;
use causeway_chainspec::metalayer::asset_id;
use causeway_chainspec::spec::presets::DEV_ACCOUNTS;
use causeway_chainspec::{
    Account, BlockEnv, Fork, Message, StateDiff, StateError, StateReader, Terms, Tx,
};
use causeway_execution::vm::CallResult;
use causeway_execution::{Call, Stop, VMS, Vm};
use op_alloy_consensus::TxDeposit;

pub(crate) const HERE: u32 = 4242;
pub(crate) const THERE: u32 = 77;
pub(crate) const TTL: u64 = 3_600;
pub(crate) const PRICE: u64 = 3;
pub(crate) const ETHER: u128 = 1_000_000_000_000_000_000;
pub(crate) const USER: Address = DEV_ACCOUNTS[0];
pub(crate) const OTHER: Address = DEV_ACCOUNTS[1];

sol! {
    error OwnDomain(uint32 domain);
    error LaneClosed(uint32 domain, uint8 status);
    error LaneFull(uint32 domain, uint256 bytesLeft, uint256 bytesAsked);
    error BodyTooLong(uint256 length, uint256 most);
    error ValueTooLow(uint256 required, uint256 missing);
    error ExcessRefused(uint256 excess);
    error GasLimitTooHigh(uint256 gasLimit);
    error TtlTooLong(uint64 ttlSeconds);
    error UnknownMetadata();
    error UnknownHook(address hook);
    error ReadsNotSupported();
    error ReservedAddress();
    error AmountZero();
    error RecipientInvalid(bytes32 recipient);
    error NoToken(bytes32 asset);
    error BlocksDeliver();
    error OnlyCourier();
    error MessageInvalid();
    error AlreadyDelivered(bytes32 messageId);
    error OutOfGas();

    interface Views {
        function localDomain() external view returns (uint32);
        function nonce() external view returns (uint32);
        function latestDispatchedId() external view returns (bytes32);
        function delivered(bytes32 id) external view returns (bool);
        function processedAt(bytes32 id) external view returns (uint48);
        function processor(bytes32 id) external view returns (address);
        function defaultIsm() external view returns (address);
        function recipientIsm(address recipient) external view returns (address);
        function defaultHook() external view returns (address);
        function requiredHook() external view returns (address);
        function VERSION() external view returns (uint8);
        function deployedBlock() external view returns (uint256);
        function count() external view returns (uint32);
        function root() external view returns (bytes32);
        function tree() external view returns (bytes32[32] branch, uint256 count);
        function latestCheckpoint() external view returns (bytes32 root, uint32 index);
        function quoteGasPayment(uint32 domain, uint256 gasAmount) external view returns (uint256);
        function routerAddresses(uint32 domain) external view returns (address);
        function igp() external view returns (address);
        function tokenOf(bytes32 asset) external view returns (address);
        function hubAsset() external view returns (bytes32);
        function coin() external view returns (uint8);
        function laneStatus(uint32 domain) external view returns (uint8);
        function gasPrice(uint32 domain) external view returns (uint64);
        function process(bytes metadata, bytes message) external payable;
    }
}

/// One chain: the EVM over a state in memory.
pub(crate) struct Chain {
    vm: Arc<dyn Vm>,
    accounts: BTreeMap<Address, Account>,
    slots: BTreeMap<(Address, U256), U256>,
    codes: BTreeMap<B256, Bytes>,
    pub(crate) env: BlockEnv,
}

/// What a call did.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) success: bool,
    pub(crate) output: Bytes,
    pub(crate) gas_used: u64,
    pub(crate) logs: Vec<Log>,
    pub(crate) outbox: Vec<Message>,
}

impl StateReader for Chain {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        Ok(self.accounts.get(&address).copied())
    }
    fn slot(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        Ok(self.slots.get(&(address, slot)).copied().unwrap_or_default())
    }
    fn code(&self, hash: B256) -> Result<Option<Bytes>, StateError> {
        Ok(self.codes.get(&hash).cloned())
    }
    fn block_hash(&self, _number: u64) -> Result<Option<B256>, StateError> {
        Ok(None)
    }
}

impl Chain {
    /// A chain with the Mailbox, one open lane, and two users with 100 ether each.
    pub(crate) fn new(coin: Coin) -> Self {
        let (_, open) = VMS.iter().find(|(name, _)| *name == "evm").unwrap();
        let mut chain = Self {
            vm: open(&crate::seams::vm::spec()).unwrap(),
            accounts: BTreeMap::new(),
            slots: BTreeMap::new(),
            codes: BTreeMap::new(),
            env: BlockEnv {
                chain_id: HERE.into(),
                number: 10,
                time_ms: 1_700_000_000_123,
                fork: Fork::Prague,
                beneficiary: Address::repeat_byte(0xbe),
                gas_limit: 1 << 40,
                gas_available: 1 << 40,
                bytes_available: 1 << 20,
                base_fee: 7,
                mix_hash: B256::ZERO,
                difficulty: U256::ZERO,
                blob_base_fee: 1,
            },
        };
        chain.contract(MAILBOX, mailbox::CODE);
        for user in [USER, OTHER] {
            chain.fund(user, 100 * ETHER);
        }
        for (slot, value) in [
            (layout::LOCAL_DOMAIN, U256::from(HERE)),
            (layout::TTL, U256::from(TTL)),
            (layout::COIN, U256::from(coin as u8)),
            (layout::HUB_ASSET, hub_asset().into()),
        ] {
            chain.set(slot, value);
        }
        chain.lane(LaneStatus::Active);
        chain
    }

    pub(crate) fn fund(&mut self, address: Address, wei: u128) {
        self.accounts.entry(address).or_default().balance = U256::from(wei);
    }

    pub(crate) fn contract(&mut self, address: Address, code: &[u8]) {
        let hash = keccak256(code);
        let account = self.accounts.entry(address).or_default();
        (account.nonce, account.bytecode_hash) = (1, Some(hash));
        self.codes.insert(hash, Bytes::copy_from_slice(code));
    }

    pub(crate) fn set(&mut self, slot: U256, value: U256) {
        self.slots.insert((MAILBOX, slot), value);
    }

    /// A fresh word of the one lane.
    pub(crate) fn lane(&mut self, status: LaneStatus) {
        let word = LaneWord { status, gas_price: PRICE, ..Default::default() };
        self.set(layout::lane(THERE), word.to_slot());
    }

    pub(crate) fn lane_word(&self) -> LaneWord {
        LaneWord::from_slot(self.slot(MAILBOX, layout::lane(THERE)).unwrap())
    }

    pub(crate) fn balance(&self, address: Address) -> u128 {
        self.accounts.get(&address).map_or(0, |account| account.balance.to())
    }

    /// Makes a call as a transaction of a user or of the courier, in the present block.
    pub(crate) fn run(
        &mut self,
        from: Address,
        to: TxKind,
        wei: u128,
        gas: u64,
        input: Bytes,
    ) -> Done {
        let tx = Arc::new(Tx::deposit(TxDeposit {
            from,
            to,
            value: U256::from(wei),
            gas_limit: gas,
            input,
            ..Default::default()
        }));
        let supply = self.supply();
        let output = self.vm.execute(self, &self.env, &[tx], &Stop::never()).unwrap();
        self.apply(&output.diff);
        assert_eq!(self.supply() + output.burnt, supply, "wei out of nothing");
        let outcome = output.outcomes[0].clone();
        Done {
            success: outcome.success,
            output: outcome.output,
            gas_used: outcome.gas_used,
            logs: output.receipts[0].logs.clone(),
            outbox: output.outbox,
        }
    }

    /// A user calls the Mailbox.
    pub(crate) fn send(&mut self, from: Address, wei: u128, call: &impl SolCall) -> Done {
        self.run(from, MAILBOX.into(), wei, 10_000_000, call.abi_encode().into())
    }

    /// A user creates a contract.
    pub(crate) fn create(&mut self, init: Vec<u8>) -> Address {
        let address = USER.create(self.accounts[&USER].nonce);
        let done = self.run(USER, TxKind::Create, 0, 10_000_000, init.into());
        assert!(done.success, "{done:?}");
        address
    }

    /// Asks a contract.
    pub(crate) fn ask<C: SolCall>(&self, to: Address, call: &C) -> C::Return {
        C::abi_decode_returns(&self.try_ask(to, call).unwrap()).unwrap()
    }

    /// Asks a contract; what it reverts with is the error.
    pub(crate) fn try_ask(&self, to: Address, call: &impl SolCall) -> Result<Bytes, Bytes> {
        let input = call.abi_encode().into();
        let call = Call { to: to.into(), gas_limit: 10_000_000, input, ..Default::default() };
        let output = self.vm.call(self, &self.env, &call).unwrap();
        match output.result {
            CallResult::Success => Ok(output.output),
            _ => Err(output.output),
        }
    }

    /// The courier delivers a message, with the gas that its sender paid for.
    pub(crate) fn deliver(&mut self, message: &Message) -> (u8, u64, Done) {
        let gas = courier_gas(message);
        let done = self.deliver_with(message, gas);
        assert!(done.success, "{done:?}");
        let answer = deliverCall::abi_decode_returns(&done.output).unwrap();
        (answer.status, answer.gasUsed, done)
    }

    pub(crate) fn deliver_with(&mut self, message: &Message, gas: u64) -> Done {
        let call = deliverCall {
            message: message.encode_packed().into(),
            gasLimit: message.terms.gas_limit,
        };
        self.run(COURIER, MAILBOX.into(), 0, gas, call.abi_encode().into())
    }

    fn supply(&self) -> U256 {
        self.accounts.values().map(|account| account.balance).sum()
    }

    fn apply(&mut self, diff: &StateDiff) {
        for (address, change) in &diff.accounts {
            match change.account {
                Some(account) => drop(self.accounts.insert(*address, account)),
                None => drop(self.accounts.remove(address)),
            }
            assert!(!change.wiped, "{address} was wiped");
            for (slot, value) in &change.storage {
                self.slots.insert((*address, *slot), *value);
            }
        }
        self.codes.extend(diff.codes.iter().map(|(hash, code)| (*hash, code.clone())));
    }
}

/// Gas of the courier's call: the recipient's and what EIP-150 keeps back of it, what delivery
/// costs beside, and the floor of EIP-7623 for call data.
pub(crate) fn courier_gas(message: &Message) -> u64 {
    let limit = message.terms.gas_limit;
    limit + limit / 63 + DELIVERY_GAS + 40 * message.body.len() as u64
}

pub(crate) fn hub_asset() -> B256 {
    asset_id(1, Address::ZERO)
}

/// A message of the other chain for a recipient here.
pub(crate) fn message(nonce: u32, recipient: B256, body: &[u8]) -> Message {
    Message {
        nonce,
        origin: THERE,
        sender: word_of(OTHER),
        destination: HERE,
        recipient,
        body: Bytes::copy_from_slice(body),
        terms: Terms { gas_limit: 200_000, gas_price: 1, expiry_ms: u64::MAX, refund_to: OTHER },
    }
}

/// A transfer of the other chain.
pub(crate) fn transfer(nonce: u32, recipient: B256, amount: u128, asset: B256) -> Message {
    let amount = U256::from(amount);
    let body = TransferBody { recipient, amount, asset, from: word_of(OTHER) };
    let mut message = message(nonce, word_of(MAILBOX), &body.abi_encode());
    message.sender = word_of(MAILBOX);
    message.terms.gas_limit = mailbox::TRANSFER_GAS;
    message
}
