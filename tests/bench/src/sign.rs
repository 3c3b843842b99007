//! Transactions, signed before anything is measured; the same bytes for every peer.

use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use alloy_signer_local::PrivateKeySigner;
use causeway_tests::keys;
use causeway_tests::txs::{Draft, Form};
use eyre::WrapErr;

use crate::node::CHAIN_ID;

/// Accounts that send. Many, so that every connection has its own and nonces stay in order.
pub const SENDERS: usize = 256;
/// Wei per gas that anybody would pay: above the base fee of every peer, at all times.
pub const MAX_FEE: u128 = 100_000_000_000;
/// Wei per gas to the block's maker, the same for all.
pub const TIP: u128 = 1_000_000_000;

/// A signed transaction.
#[derive(Debug, Clone)]
pub struct Signed {
    /// EIP-2718 bytes.
    pub raw: Bytes,
    /// Its hash.
    pub hash: B256,
    /// Index of its sender.
    pub sender: usize,
}

/// An account that signs, with its next nonce.
#[derive(Debug, Clone)]
pub struct Sender {
    key: PrivateKeySigner,
    /// Next nonce.
    pub nonce: u64,
}

/// What a transaction does.
#[derive(Debug, Clone)]
pub struct Call {
    /// Callee or creation.
    pub to: TxKind,
    /// Wei.
    pub value: U256,
    /// Call data.
    pub input: Bytes,
    /// Gas limit.
    pub gas_limit: u64,
}

/// The accounts that send, each with nonce 0.
pub fn senders() -> eyre::Result<Vec<Sender>> {
    (0..SENDERS).map(|index| Sender::numbered(index as u64)).collect()
}

/// An address that nothing has ever been paid to.
pub fn fresh(index: u64) -> Address {
    Address::from_word(keccak256([&b"bench recipient"[..], &index.to_be_bytes()].concat()))
}

impl Call {
    /// A transfer of wei.
    pub fn transfer(to: Address, wei: u64) -> Self {
        let (to, value) = (TxKind::Call(to), U256::from(wei));
        Self { to, value, input: Bytes::new(), gas_limit: 21_000 }
    }

    /// A call of a contract.
    pub fn contract(to: Address, input: Vec<u8>, gas_limit: u64) -> Self {
        Self { to: TxKind::Call(to), value: U256::ZERO, input: input.into(), gas_limit }
    }

    /// The creation of a contract.
    pub fn create(code: Bytes, gas_limit: u64) -> Self {
        Self { to: TxKind::Create, value: U256::ZERO, input: code, gas_limit }
    }
}

impl Sender {
    /// The same key for the same number, always.
    pub fn numbered(number: u64) -> eyre::Result<Self> {
        let secret = keccak256([&b"bench sender"[..], &number.to_be_bytes()].concat());
        let key = PrivateKeySigner::from_bytes(&secret).wrap_err("a hash is no key")?;
        Ok(Self { key, nonce: 0 })
    }

    /// The first dev account, which every chain here gives funds.
    pub fn dev() -> Self {
        Self { key: keys::accounts()[0].clone(), nonce: 0 }
    }

    /// Its address.
    pub fn address(&self) -> Address {
        self.key.address()
    }

    /// Signs with the next nonce, as an EIP-1559 transaction.
    pub fn sign(&mut self, sender: usize, call: Call) -> Signed {
        let mut draft = Draft::transfer(CHAIN_ID, self.nonce, Address::ZERO, 0);
        draft.max_fee = MAX_FEE;
        draft.tip = TIP;
        draft.gas_limit = call.gas_limit;
        draft.to = call.to;
        draft.value = call.value;
        draft.input = call.input;
        self.nonce += 1;
        let raw = draft.sign(Form::Dynamic, &self.key);
        Signed { hash: keccak256(&raw), raw, sender }
    }
}

/// As many transactions as asked for, of all senders in turn.
pub fn in_turn(senders: &mut [Sender], count: usize, call: impl Fn(usize) -> Call) -> Vec<Signed> {
    let many = senders.len();
    (0..count).map(|index| senders[index % many].sign(index % many, call(index))).collect()
}

/// Deals transactions to connections: all of a sender to one, in their order.
pub fn lanes(txs: &[Signed], connections: usize) -> Vec<Vec<Signed>> {
    let mut lanes = vec![Vec::new(); connections];
    for tx in txs {
        lanes[tx.sender % connections].push(tx.clone());
    }
    lanes
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_consensus::Transaction;
    use causeway_chainspec::Tx;

    #[test]
    fn nonces_are_in_order_on_every_connection() {
        let mut senders = senders().unwrap();
        let senders = &mut senders[..6];
        let txs = in_turn(senders, 40, |index| Call::transfer(fresh(index as u64), 1));
        let lanes = lanes(&txs, 4);
        assert_eq!(lanes.iter().map(Vec::len).sum::<usize>(), 40);
        let mut next = vec![0; 6];
        for signed in lanes.iter().flatten() {
            let tx = Tx::decode(signed.raw.clone()).unwrap();
            assert_eq!((tx.hash, tx.sender), (signed.hash, senders[signed.sender].address()));
            assert_eq!(tx.envelope.nonce(), next[signed.sender]);
            next[signed.sender] += 1;
        }
        assert_eq!(next, senders.iter().map(|sender| sender.nonce).collect::<Vec<_>>());
        assert_ne!(fresh(0), fresh(1));
    }
}
