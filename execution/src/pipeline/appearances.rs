//! The address index over everything committed, whether it is in the store yet or not.

use alloy_primitives::Address;

use super::Snapshot;
use crate::ExecutionError;
use crate::store::{self, Search, whole_blocks};

impl Snapshot {
    /// Whether this node keeps an address index; the other methods here know nothing without.
    pub fn has_address_index(&self) -> bool {
        self.picture.view.has_address_index()
    }

    /// Block numbers and indexes of the transactions that an account sent or appears in, in the
    /// search's order: at least `most` if there are so many, the last block whole.
    pub fn appearances(
        &self,
        address: Address,
        search: Search,
        most: usize,
    ) -> Result<Vec<(u64, usize)>, ExecutionError> {
        let mut places = Vec::new();
        for layer in self.picture.layers.iter().filter(|it| search.covers(it.id().number)) {
            let block = &layer.executed.block;
            for (index, (tx, receipt)) in block.txs.iter().zip(&block.receipts).enumerate() {
                if tx.sender == address || store::appearing(tx, receipt).contains(&address) {
                    places.push((block.header.number, index as u64));
                }
            }
        }
        places.extend(self.picture.view.appearances(address, search, most)?);
        search.sort(&mut places);
        let taken = whole_blocks(places.into_iter().map(Ok), most)?;
        Ok(taken.into_iter().map(|(number, index)| (number, index as usize)).collect())
    }

    /// Block number and index of the transaction that a sender sent with a nonce.
    pub fn sent(
        &self,
        sender: Address,
        nonce: u64,
    ) -> Result<Option<(u64, usize)>, ExecutionError> {
        if let Some((number, index)) = self.picture.view.sent(sender, nonce)? {
            return Ok(Some((number, index as usize)));
        }
        for layer in self.picture.layers.iter() {
            let block = &layer.executed.block;
            let mut txs = block.txs.iter().zip(&block.receipts);
            let index =
                txs.position(|(tx, got)| tx.sender == sender && store::nonce(tx, got) == nonce);
            if let Some(index) = index {
                return Ok(Some((block.header.number, index)));
            }
        }
        Ok(None)
    }

    /// Number of the block in which an account got code; `None` if it has none, or is delegated.
    pub fn created(&self, address: Address) -> Result<Option<u64>, ExecutionError> {
        if let Some(number) = self.picture.view.created(address)? {
            return Ok(Some(number));
        }
        let mut layers = self.picture.layers.iter();
        let made = layers.find(|layer| store::coded(&layer.executed).any(|coded| coded == address));
        Ok(made.map(|layer| layer.id().number))
    }
}
