//! A seeded stream of random transactions, valid and not, for every VM.

use std::collections::BTreeSet;

use alloy_consensus::{SignableTransaction, Signed, TxEip1559, TxEip2930, TxEip7702, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_eips::eip7702::{Authorization, SignedAuthorization};
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, keccak256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use causeway_chainspec::TxEnvelope;

use crate::contracts::{Contract, burning_init, odd_inits, words};
use crate::keys;

/// Accounts without funds at genesis that transactions pay to and, once paid, from.
const FRESH: u8 = 6;
/// One ether in wei.
pub const ETHER: u128 = 1_000_000_000_000_000_000;

/// xorshift64*: the same numbers for the same seed, everywhere.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// A stream of its own for each seed.
    pub fn new(seed: u64) -> Self {
        // Neighbouring seeds must not give neighbouring streams, and the state is never zero.
        Self(
            u64::from_be_bytes(keccak256(seed.to_be_bytes())[..8].try_into().expect("8 bytes")) | 1,
        )
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        (self.number() >> 16) % end
    }

    /// True so many times of 100.
    pub fn percent(&mut self, share: u64) -> bool {
        self.below(100) < share
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }

    /// As many random bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.number() as u8).collect()
    }
}

/// The parts of a transaction before its form is chosen.
#[derive(Debug, Clone)]
pub struct Draft {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Nonce.
    pub nonce: u64,
    /// Gas limit.
    pub gas_limit: u64,
    /// Wei per gas at most; the gas price of forms that have no more.
    pub max_fee: u128,
    /// Wei per gas to the block's maker.
    pub tip: u128,
    /// Callee or creation.
    pub to: TxKind,
    /// Wei sent along.
    pub value: U256,
    /// Call data or creation code.
    pub input: Bytes,
    /// EIP-2930.
    pub access_list: AccessList,
    /// EIP-7702.
    pub authorizations: Vec<SignedAuthorization>,
}

impl Draft {
    /// A transfer.
    pub fn transfer(chain_id: u64, nonce: u64, to: Address, value: u128) -> Self {
        Self {
            chain_id,
            nonce,
            gas_limit: 21_000,
            max_fee: 1_000_000_000,
            tip: 1_000_000,
            to: TxKind::Call(to),
            value: U256::from(value),
            input: Bytes::new(),
            access_list: AccessList::default(),
            authorizations: Vec::new(),
        }
    }

    /// Signed EIP-2718 bytes.
    pub fn sign(self, form: Form, key: &PrivateKeySigner) -> Bytes {
        let Self { chain_id, nonce, gas_limit, max_fee, tip, to, value, input, .. } = self;
        match form {
            Form::Legacy | Form::Old => {
                let chain_id = (form == Form::Legacy).then_some(chain_id);
                let gas_price = max_fee;
                signed(TxLegacy { chain_id, nonce, gas_price, gas_limit, to, value, input }, key)
            }
            Form::Listed => {
                let access_list = self.access_list;
                let gas_price = max_fee;
                let tx = TxEip2930 {
                    chain_id,
                    nonce,
                    gas_price,
                    gas_limit,
                    to,
                    value,
                    access_list,
                    input,
                };
                signed(tx, key)
            }
            Form::Dynamic => signed(
                TxEip1559 {
                    chain_id,
                    nonce,
                    gas_limit,
                    max_fee_per_gas: max_fee,
                    max_priority_fee_per_gas: tip,
                    to,
                    value,
                    access_list: self.access_list,
                    input,
                },
                key,
            ),
            Form::Delegating => signed(
                TxEip7702 {
                    chain_id,
                    nonce,
                    gas_limit,
                    max_fee_per_gas: max_fee,
                    max_priority_fee_per_gas: tip,
                    to: to.to().copied().unwrap_or_default(),
                    value,
                    access_list: self.access_list,
                    authorization_list: self.authorizations,
                    input,
                },
                key,
            ),
        }
    }
}

/// The envelopes a user may sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// With a chain id (EIP-155).
    Legacy,
    /// Without one.
    Old,
    /// EIP-2930.
    Listed,
    /// EIP-1559.
    Dynamic,
    /// EIP-7702.
    Delegating,
}

fn signed<T: SignableTransaction<Signature>>(tx: T, key: &PrivateKeySigner) -> Bytes
where
    TxEnvelope: From<Signed<T>>,
{
    let signature = key.sign_hash_sync(&tx.signature_hash()).expect("a local key signs");
    TxEnvelope::from(tx.into_signed(signature)).encoded_2718().into()
}

/// What the generator asks about the chain, so that most of what it makes is valid there.
pub struct Outside<'a> {
    /// Next nonce of an account, waiting transactions counted in.
    pub nonce: &'a dyn Fn(Address) -> u64,
    /// Base fee, wei per gas.
    pub base_fee: u64,
}

/// Makes transactions for one chain. What it makes depends on its seed and on the answers of
/// [`Outside`] only.
pub struct Txs {
    rng: Rng,
    chain_id: u64,
    contracts: bool,
    keys: Vec<PrivateKeySigner>,
    deployed: Vec<(Contract, Address)>,
    touched: BTreeSet<Address>,
}

impl Txs {
    /// A stream for a chain on a VM.
    pub fn new(seed: u64, chain_id: u64, vm: &str) -> Self {
        let fresh = (1..=FRESH).map(|number| {
            PrivateKeySigner::from_bytes(&B256::repeat_byte(number)).expect("a small scalar")
        });
        let keys: Vec<_> = keys::accounts().iter().cloned().chain(fresh).collect();
        let touched = keys.iter().map(PrivateKeySigner::address).collect();
        let (rng, contracts) = (Rng::new(seed), vm == "evm");
        Self { rng, chain_id, contracts, keys, deployed: Vec::new(), touched }
    }

    /// Every address that may have got a balance from these transactions.
    pub fn touched(&self) -> BTreeSet<Address> {
        let children = self.touched.iter().map(|at| crate::contracts::mayfly_child_of(*at));
        children.chain(self.touched.iter().copied()).collect()
    }

    /// The next transaction: five of six valid as far as the generator knows.
    pub fn next(&mut self, outside: &Outside<'_>) -> Bytes {
        let key = self.keys[self.rng.below(self.keys.len() as u64) as usize].clone();
        let nonce = (outside.nonce)(key.address());
        let base_fee = u128::from(outside.base_fee);
        let tip = u128::from(self.rng.below(2_000_000_000));
        let mut draft = Draft::transfer(self.chain_id, nonce, Address::ZERO, 0);
        draft.tip = tip;
        draft.max_fee = base_fee * (1 + u128::from(self.rng.below(3))) + tip;
        draft.value = U256::from(self.rng.below(ETHER as u64 / 10));
        if self.contracts && self.rng.percent(70) {
            self.aim(&mut draft, key.address());
        } else {
            draft.to = TxKind::Call(self.somebody());
            if self.rng.percent(15) {
                let size = self.rng.below(100) as usize;
                draft.input = self.rng.bytes(size).into();
                draft.gas_limit += 40 * size as u64;
            }
        }
        let form = self.form(&mut draft, outside, key.address());
        if self.rng.percent(12) {
            self.spoil(&mut draft);
        }
        let raw = draft.sign(form, &key);
        if self.rng.percent(4) { self.mangle(raw) } else { raw }
    }

    /// Bytes that are no transaction, or none of this chain: for the forced lane.
    pub fn junk(&mut self) -> Bytes {
        match self.rng.below(4) {
            0 => Bytes::new(),
            1 => Bytes::from_static(&[0x03, 0xc0]),
            2 => Bytes::from_static(&[0x7e, 0xc0]),
            _ => {
                let size = 1 + self.rng.below(200) as usize;
                self.rng.bytes(size).into()
            }
        }
    }

    /// Somebody who can be paid: an account, a precompile, nobody yet, a contract.
    fn somebody(&mut self) -> Address {
        let address = match self.rng.below(10) {
            0 => Address::with_last_byte(self.rng.below(0x14) as u8),
            1 => Address::from_slice(&self.rng.bytes(20)),
            2 | 3 if !self.deployed.is_empty() => self.rng.pick(&self.deployed).1,
            _ => self.rng.pick(&self.keys).address(),
        };
        self.touched.insert(address);
        address
    }

    /// Lets a draft create or call a contract.
    fn aim(&mut self, draft: &mut Draft, sender: Address) {
        draft.gas_limit = 100_000 + self.rng.below(400_000);
        if self.deployed.is_empty() || self.rng.percent(20) {
            let created = sender.create(draft.nonce);
            self.touched.insert(created);
            draft.to = TxKind::Create;
            draft.gas_limit += 200_000;
            draft.input = match self.rng.below(20) {
                0 => burning_init(),
                1 | 2 => self.rng.pick(&odd_inits()).clone(),
                _ => {
                    let contract = *self.rng.pick(&Contract::ALL);
                    self.deployed.push((contract, created));
                    contract.init()
                }
            };
            if self.rng.percent(70) && draft.input != burning_init() {
                draft.value = U256::ZERO;
            }
            return;
        }
        let (contract, address) = *self.rng.pick(&self.deployed);
        draft.to = TxKind::Call(address);
        let first = match contract {
            Contract::Forwarder => self.somebody().into_word().into(),
            Contract::Proxy => self.rng.pick(&self.deployed).1.into_word().into(),
            _ => U256::from(self.rng.below(5)),
        };
        let mut values = vec![first];
        for _ in 0..self.rng.below(3) {
            values.push(match self.rng.below(3) {
                0 => U256::ZERO,
                1 => self.somebody().into_word().into(),
                _ => U256::from(self.rng.below(5)),
            });
        }
        // A word that is used as an address is one of the small ones too.
        self.touched.extend((0..5).map(Address::with_last_byte));
        draft.input = words(&values);
    }

    fn form(&mut self, draft: &mut Draft, outside: &Outside<'_>, sender: Address) -> Form {
        match self.rng.below(10) {
            0 | 1 => Form::Legacy,
            2 => Form::Old,
            3 => {
                if self.contracts || self.rng.percent(30) {
                    self.list(draft);
                }
                Form::Listed
            }
            4 | 5 if draft.to != TxKind::Create && (self.contracts || self.rng.percent(20)) => {
                for _ in 0..=self.rng.below(2) {
                    let authorization = self.authorization(draft.nonce, outside, sender);
                    draft.authorizations.push(authorization);
                    draft.gas_limit += 30_000;
                }
                Form::Delegating
            }
            _ => Form::Dynamic,
        }
    }

    fn list(&mut self, draft: &mut Draft) {
        for _ in 0..=self.rng.below(2) {
            let address = self.somebody();
            let keys = self.rng.below(3);
            let storage_keys = (0..keys).map(|key| B256::with_last_byte(key as u8)).collect();
            draft.access_list.0.push(AccessListItem { address, storage_keys });
            draft.gas_limit += 2_400 + 1_900 * keys + 2_000;
        }
    }

    /// Delegates an account to a contract or takes that back; sometimes invalid.
    fn authorization(
        &mut self,
        nonce: u64,
        outside: &Outside<'_>,
        sender: Address,
    ) -> SignedAuthorization {
        let key = self.keys[self.rng.below(self.keys.len() as u64) as usize].clone();
        let own = key.address() == sender;
        let nonce = if own { nonce + 1 } else { (outside.nonce)(key.address()) };
        let to = match self.deployed.is_empty() || self.rng.percent(30) {
            true => Address::ZERO,
            false => self.rng.pick(&self.deployed).1,
        };
        let chain_id = *self.rng.pick(&[self.chain_id, self.chain_id, 0, self.chain_id + 1]);
        let nonce = nonce + u64::from(self.rng.percent(10));
        let authorization = Authorization { chain_id: U256::from(chain_id), address: to, nonce };
        let digest = authorization.signature_hash();
        authorization.into_signed(key.sign_hash_sync(&digest).expect("a local key signs"))
    }

    /// Makes a draft invalid, or lets it fail.
    fn spoil(&mut self, draft: &mut Draft) {
        match self.rng.below(9) {
            0 => draft.nonce = draft.nonce.saturating_sub(1),
            1 => draft.nonce += 1 + self.rng.below(3),
            2 => draft.value = U256::from(1_000_000 * ETHER),
            3 => draft.max_fee = 1,
            4 => draft.chain_id += 1,
            5 => draft.gas_limit = 20_999,
            6 => draft.gas_limit = 1 << 40,
            7 => draft.tip = draft.max_fee + 1,
            _ => draft.gas_limit = 21_000 + self.rng.below(2_000),
        }
    }

    /// Damages bytes.
    fn mangle(&mut self, raw: Bytes) -> Bytes {
        let mut bytes = raw.to_vec();
        let at = self.rng.below(bytes.len() as u64) as usize;
        match self.rng.below(3) {
            0 => bytes.truncate(at),
            1 => bytes.push(0),
            _ => bytes[at] ^= 1 << self.rng.below(8),
        }
        bytes.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_chainspec::Tx;

    #[test]
    fn a_seed_gives_one_stream_with_all_kinds_in_it() {
        let outside = Outside { nonce: &|_| 3, base_fee: 10_000_000 };
        let stream = |seed| {
            let mut txs = Txs::new(seed, 901, "evm");
            (0..400).map(|_| txs.next(&outside)).collect::<Vec<_>>()
        };
        assert_eq!(stream(1), stream(1));
        assert_ne!(stream(1), stream(2));
        let decoded: Vec<_> = stream(1).into_iter().map(Tx::decode).collect();
        let types: BTreeSet<_> =
            decoded.iter().flatten().map(|tx| tx.envelope.tx_type() as u8).collect();
        assert_eq!(types, BTreeSet::from([0, 1, 2, 4]));
        assert!(decoded.iter().any(Result::is_err));
    }
}
