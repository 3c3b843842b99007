//! The address index over everything committed, whether it is in the store yet or not.

use alloy_primitives::Address;

use super::Snapshot;
use crate::ExecutionError;
use crate::store::{self, AddressIndex, Search, whole_blocks};

impl Snapshot {
    /// The index from addresses to transactions, if this node keeps it.
    pub fn index(&self) -> Option<&dyn AddressIndex> {
        self.picture.view.has_address_index().then_some(self)
    }
}

impl AddressIndex for Snapshot {
    fn appearances(
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
                    places.push((block.header.number, index));
                }
            }
        }
        places.extend(self.picture.view.appearances(address, search, most)?);
        search.sort(&mut places);
        Ok(whole_blocks(places.into_iter().map(Ok), most)?)
    }

    fn sent(&self, sender: Address, nonce: u64) -> Result<Option<(u64, usize)>, ExecutionError> {
        if let Some(place) = self.picture.view.sent(sender, nonce)? {
            return Ok(Some(place));
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

    fn created(&self, address: Address) -> Result<Option<u64>, ExecutionError> {
        if let Some(number) = self.picture.view.created(address)? {
            return Ok(Some(number));
        }
        let mut layers = self.picture.layers.iter();
        let made = layers.find(|layer| store::coded(&layer.executed).any(|coded| coded == address));
        Ok(made.map(|layer| layer.id().number))
    }
}
