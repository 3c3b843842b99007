//! What happens on the random chains: transactions of users, valid and not, and deposits.

use std::sync::Arc;

use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_eips::eip7702::Authorization;
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, TxKind, U256, keccak256};
use alloy_signer::SignerSync;
use causeway_chainspec::{
    BlockEnv, BlockPlan, CallOutcome, ChainSpec, Closed, Message, StateError, SystemBlock,
    SystemCall, SystemModule, SystemState, Tx,
};
use causeway_tests::keys;
use causeway_tests::programs::Programs;
use causeway_tests::txs::{Draft, Form, Rng};
use op_alloy_consensus::TxDeposit;

use super::model::Model;

/// Contracts that are called, at most; older ones are forgotten.
const CONTRACTS: usize = 40;

/// Makes transactions for one chain.
pub(super) struct Traffic {
    chain_id: u64,
    contracts: bool,
}

impl Traffic {
    pub(super) fn new(spec: &ChainSpec) -> Self {
        Self { chain_id: spec.chain_id, contracts: spec.vm == "evm" }
    }

    /// Some candidates for a block on a state.
    pub(super) fn next<M: Model>(&self, state: &M, base_fee: u64, rng: &mut Rng) -> Vec<Arc<Tx>> {
        let accounts = state.everything();
        let mut people: Vec<_> = keys::accounts().iter().map(|key| key.address()).collect();
        let coded = accounts.iter().filter(|(_, account)| account.code_hash != KECCAK256_EMPTY);
        let coded: Vec<_> = coded.map(|(address, _)| *address).collect();
        let skip = coded.len().saturating_sub(CONTRACTS);
        let skip = rng.below(skip as u64 + 1) as usize;
        people.extend(coded.iter().skip(skip).take(CONTRACTS));
        people.push(Address::repeat_byte(0x77));
        let nonce_of = |address| accounts.get(&address).map_or(0, |account| account.nonce);
        let mut nonces: Vec<u64> = people.iter().map(|address| nonce_of(*address)).collect();
        let mut txs = Vec::new();
        for _ in 0..rng.below(8) {
            let from = rng.below(keys::accounts().len() as u64) as usize;
            let mut draft = self.draft(&people, nonces[from], base_fee, rng);
            let form = self.form(&mut draft, &people, &nonces, rng);
            if rng.percent(12) {
                spoil(&mut draft, rng);
            } else {
                nonces[from] += 1;
            }
            let raw = draft.sign(form, &keys::accounts()[from]);
            txs.extend(Tx::decode(raw).map(Arc::new));
        }
        txs
    }

    fn draft(&self, people: &[Address], nonce: u64, base_fee: u64, rng: &mut Rng) -> Draft {
        let mut draft = Draft::transfer(self.chain_id, nonce, *rng.pick(people), 0);
        draft.tip = u128::from(rng.below(3) * 1_000_000);
        draft.max_fee = u128::from(base_fee) * 2 + draft.tip + 1;
        draft.value = U256::from(rng.below(5));
        let size = if rng.percent(40) { rng.below(100) as usize } else { 0 };
        draft.input = rng.bytes(size).into();
        draft.gas_limit = 21_000 + 40 * size as u64 + rng.below(3);
        if self.contracts {
            draft.gas_limit += if rng.percent(85) { rng.below(900_000) } else { rng.below(9_000) };
            if rng.percent(35) {
                draft.to = TxKind::Create;
                let code = Programs { rng, people }.init(2);
                draft.input = code.into();
                draft.gas_limit += 100_000;
            }
        }
        draft
    }

    fn form(&self, draft: &mut Draft, people: &[Address], nonces: &[u64], rng: &mut Rng) -> Form {
        match rng.below(10) {
            0 | 1 => Form::Legacy,
            2 => Form::Old,
            3 => {
                if self.contracts || rng.percent(30) {
                    let storage_keys = vec![B256::with_last_byte(rng.below(3) as u8)];
                    let address = *rng.pick(people);
                    draft.access_list = AccessList(vec![AccessListItem { address, storage_keys }]);
                }
                Form::Listed
            }
            4 | 5 if draft.to != TxKind::Create && (self.contracts || rng.percent(20)) => {
                for _ in 0..1 + rng.below(2) {
                    let at = rng.below(keys::accounts().len() as u64) as usize;
                    let chain_id = *rng.pick(&[0, self.chain_id, self.chain_id + 1]);
                    let authorization = Authorization {
                        chain_id: U256::from(chain_id),
                        address: if rng.percent(40) { Address::ZERO } else { *rng.pick(people) },
                        nonce: nonces[at] + u64::from(rng.percent(20)),
                    };
                    let signature = keys::accounts()[at]
                        .sign_hash_sync(&authorization.signature_hash())
                        .expect("a local key signs");
                    draft.authorizations.push(authorization.into_signed(signature));
                    draft.gas_limit += 30_000;
                }
                Form::Delegating
            }
            _ => Form::Dynamic,
        }
    }
}

/// Makes a transaction invalid.
fn spoil(draft: &mut Draft, rng: &mut Rng) {
    match rng.below(7) {
        0 => draft.nonce = draft.nonce.saturating_sub(1),
        1 => draft.nonce += 1 + rng.below(3),
        2 => draft.value = U256::MAX >> 8,
        3 => draft.max_fee = 1,
        4 => draft.chain_id += 1,
        5 => draft.gas_limit = 20_999,
        _ => draft.tip = draft.max_fee + 1,
    }
}

/// Protocol code that makes random calls in every block.
pub(super) struct Depositor;

/// The calls of a block.
fn calls(parent: B256, number: u64) -> Vec<SystemCall> {
    let digest = keccak256([parent.as_slice(), b"deposits"].concat());
    let seed = u64::from_be_bytes(digest[..8].try_into().expect("8 bytes"));
    let mut rng = Rng::new(seed ^ number);
    let mut people: Vec<_> = keys::accounts().iter().map(|key| key.address()).collect();
    people.extend([Address::repeat_byte(0x77), Address::with_last_byte(2)]);
    people.extend((0..3).map(|nonce| keys::accounts()[0].address().create(nonce)));
    let count = rng.below(3);
    let call = |_| {
        let size = rng.below(40) as usize;
        SystemCall {
            from: *rng.pick(&people),
            to: *rng.pick(&people),
            mint: u128::from(rng.below(2) * 1_000),
            value: if rng.percent(10) { U256::MAX >> 8 } else { U256::from(rng.below(1_000)) },
            gas_limit: if rng.percent(10) { 20_000 } else { 30_000 + rng.below(300_000) },
            input: Bytes::from(rng.bytes(size)),
        }
    };
    (0..count).map(call).collect()
}

/// The same calls as the transactions that they become.
pub(super) fn deposits(parent: B256, number: u64) -> Vec<Arc<Tx>> {
    let made = calls(parent, number).into_iter().enumerate().map(|(index, call)| {
        let mut source = keccak256("causeway/system-call/1").to_vec();
        source.extend_from_slice(parent.as_slice());
        source.extend_from_slice(&number.to_be_bytes());
        source.extend_from_slice(&(index as u64).to_be_bytes());
        Arc::new(Tx::deposit(TxDeposit {
            source_hash: keccak256(source),
            from: call.from,
            to: TxKind::Call(call.to),
            mint: call.mint,
            value: call.value,
            gas_limit: call.gas_limit,
            is_system_transaction: false,
            input: call.input,
        }))
    });
    made.collect()
}

impl SystemModule for Depositor {
    fn genesis(&self, _: &mut SystemState<'_>) -> Result<Option<Closed>, StateError> {
        Ok(None)
    }

    fn open(
        &self,
        _: &mut SystemState<'_>,
        _: &BlockEnv,
        plan: &BlockPlan,
    ) -> Result<Box<dyn SystemBlock>, StateError> {
        Ok(Box::new(Calls(calls(plan.claim.parent, plan.claim.number))))
    }
}

struct Calls(Vec<SystemCall>);

impl SystemBlock for Calls {
    fn calls(&self) -> Vec<SystemCall> {
        self.0.clone()
    }

    fn close(
        self: Box<Self>,
        _: &mut SystemState<'_>,
        _: &[CallOutcome],
        _: &[Message],
    ) -> Result<Option<Closed>, StateError> {
        Ok(None)
    }
}
