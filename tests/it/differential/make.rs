//! Random candidates for a block, most of them valid: every form of transaction, to anybody, with
//! anything.

use std::collections::BTreeMap;

use alloy_eips::eip2930::AccessListItem;
use alloy_eips::eip7702::{Authorization, SignedAuthorization};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_signer::SignerSync;
use causeway_tests::bytecode::Coder;
use causeway_tests::txs::{Draft, ETHER, Form, Rng};

use super::machine::Head;
use super::mailbox;
use super::state::State;
use super::world::World;

/// Makes the candidates of one block.
pub(super) struct Maker<'a> {
    world: &'a World,
    rng: &'a mut Rng,
    state: &'a State,
    head: &'a Head,
    people: Vec<Address>,
    /// Next nonces, as far as all goes well.
    nonces: BTreeMap<Address, u64>,
    contracts: bool,
}

impl<'a> Maker<'a> {
    /// For a block on this state.
    pub(super) fn new(
        world: &'a World,
        rng: &'a mut Rng,
        state: &'a State,
        head: &'a Head,
    ) -> Self {
        let mut people = world.people.to_vec();
        // Whoever came to be since, contracts of contracts among them.
        let known: Vec<_> = state.0.keys().copied().collect();
        people.extend((0..30).map(|_| *rng.pick(&known)));
        let contracts = world.spec.vm == "evm";
        Self { world, rng, state, head, people, nonces: BTreeMap::new(), contracts }
    }

    /// All of them, in order.
    pub(super) fn candidates(&mut self) -> Vec<Bytes> {
        let count = self.rng.below(13);
        let mut all: Vec<Bytes> = Vec::new();
        for _ in 0..count {
            let raw = match self.rng.below(40) {
                0 if !all.is_empty() => self.rng.pick(&all).clone(),
                1 => self.junk(),
                _ => self.transaction(),
            };
            all.push(raw);
        }
        all
    }

    fn junk(&mut self) -> Bytes {
        let size = self.rng.below(60) as usize;
        let mut bytes = self.rng.bytes(size);
        if let Some(first) = bytes.first_mut().filter(|_| self.rng.percent(50)) {
            *first = *self.rng.pick(&[1, 2, 3, 4, 0x7e, 0xf8]);
        }
        bytes.into()
    }

    fn somebody(&mut self) -> Address {
        // Nobody can pay a contract on the ledger.
        if !self.contracts && self.rng.percent(80) {
            return self.rng.pick(&self.world.keys).address();
        }
        *self.rng.pick(&self.people)
    }

    fn nonce(&mut self, address: Address) -> u64 {
        let now = self.state.0.get(&address).map_or(0, |entry| entry.nonce);
        *self.nonces.entry(address).or_insert(now)
    }

    fn transaction(&mut self) -> Bytes {
        let who = *self.rng.pick(&[0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 5, 6]);
        let key = &self.world.keys[who];
        let nonce = self.nonce(key.address());
        let mut draft = Draft::transfer(self.head.chain_id, nonce, Address::ZERO, 0);
        let base_fee = u128::from(self.head.base_fee);
        draft.tip = u128::from(self.rng.below(1_000_000));
        draft.max_fee = base_fee * (1 + u128::from(self.rng.below(3))) + draft.tip;
        draft.to = self.somebody().into();
        draft.value = U256::from(*self.rng.pick(&[0u64, 0, 0, 1, 7, 1 << 40, 1 << 45]));
        if self.contracts {
            self.aim(&mut draft);
        } else {
            self.pay(&mut draft);
        }
        let form = self.form(&mut draft, key.address());
        let spoilt = self.rng.percent(14);
        if spoilt {
            self.spoil(&mut draft);
        } else if who < 4 {
            *self.nonces.entry(key.address()).or_default() += 1;
        }
        draft.sign(form, key)
    }

    /// What a transaction does on the EVM.
    fn aim(&mut self, draft: &mut Draft) {
        draft.gas_limit = match self.rng.below(20) {
            0..=2 => 21_000 + self.rng.below(40_000),
            3 => 1_000_000 + self.rng.below(4_000_000),
            _ => 60_000 + self.rng.below(700_000),
        };
        let mut coder = Coder::new(self.rng, &self.people);
        match coder.rng.below(10) {
            0 | 1 => (draft.to, draft.input) = (TxKind::Create, coder.init().into()),
            2 => (draft.to, draft.input) = (TxKind::Create, coder.runtime().into()),
            3 | 4 => {
                let size = coder.rng.below(100) as usize;
                draft.input = coder.rng.bytes(size).into();
            }
            _ => {}
        }
    }

    /// What a transaction does on the ledger.
    fn pay(&mut self, draft: &mut Draft) {
        if self.rng.percent(40) {
            mailbox::call(self.rng, draft, &self.people);
        } else if self.rng.percent(20) {
            let size = self.rng.below(100) as usize;
            draft.input = self.rng.bytes(size).into();
            draft.gas_limit += 40 * size as u64;
        }
        if self.rng.percent(5) {
            draft.to = TxKind::Create;
        }
    }

    fn form(&mut self, draft: &mut Draft, sender: Address) -> Form {
        let seldom = self.contracts || self.rng.percent(20);
        match self.rng.below(10) {
            0 | 1 => Form::Legacy,
            2 => Form::Old,
            3 | 4 => {
                for _ in 0..self.rng.below(3) * u64::from(seldom) {
                    let address = self.somebody();
                    let slots = 0..self.rng.below(3) as u8;
                    let storage_keys = slots.map(B256::with_last_byte).collect();
                    draft.access_list.0.push(AccessListItem { address, storage_keys });
                    draft.gas_limit += 10_000;
                }
                if self.rng.percent(50) { Form::Listed } else { Form::Dynamic }
            }
            5 | 6 if draft.to != TxKind::Create && seldom => {
                for _ in 0..self.rng.below(4) {
                    let authorization = self.authorization(draft.nonce, sender);
                    draft.authorizations.push(authorization);
                    draft.gas_limit += 30_000;
                }
                Form::Delegating
            }
            _ => Form::Dynamic,
        }
    }

    /// Delegates somebody to anything; sometimes invalid.
    fn authorization(&mut self, nonce: u64, sender: Address) -> SignedAuthorization {
        let key = self.rng.pick(&self.world.keys);
        let own = key.address() == sender;
        let next = if own { nonce + 1 } else { self.nonce(key.address()) };
        let address = if self.rng.percent(15) { Address::ZERO } else { self.somebody() };
        let id = self.head.chain_id;
        let chain_id = U256::from(*self.rng.pick(&[id, id, 0, 0, id + 1]));
        let off = self.rng.percent(12);
        if !off && !own && chain_id <= U256::from(id) {
            *self.nonces.entry(key.address()).or_default() += 1;
        }
        let authorization = Authorization { chain_id, address, nonce: next + u64::from(off) };
        let signature = key.sign_hash_sync(&authorization.signature_hash());
        authorization.into_signed(signature.expect("a local key signs"))
    }

    /// Makes a draft invalid, or nearly so.
    fn spoil(&mut self, draft: &mut Draft) {
        match self.rng.below(13) {
            0 => draft.nonce = draft.nonce.saturating_sub(1),
            1 => draft.nonce += 1 + self.rng.below(3),
            2 => draft.value = U256::from(1_000_000 * ETHER),
            3 => draft.max_fee = u128::from(self.head.base_fee) - 1,
            4 => draft.chain_id += 1,
            5 => draft.gas_limit = 20_999,
            6 => draft.gas_limit = 1 + *self.rng.pick(&[self.head.gas_limit, 1 << 24]),
            7 => draft.tip = draft.max_fee + 1,
            8 => draft.gas_limit = self.head.gas_limit,
            9 => draft.nonce = u64::MAX,
            10 => draft.value = U256::MAX,
            11 => draft.authorizations.clear(),
            _ => {
                draft.to = TxKind::Create;
                draft.input = vec![0; 49_152 + self.rng.below(2) as usize].into();
                draft.gas_limit = 2_000_000;
            }
        }
    }
}
