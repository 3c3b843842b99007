//! What to bid for a place in a block, what may be spent, and what was.

use std::collections::VecDeque;
use std::time::Duration;

use alloy_eips::eip4844::DATA_GAS_PER_BLOB;
use alloy_primitives::U256;

use crate::Runway;

/// Gas of a transaction that only carries blobs (EIP-2028: no calldata).
pub(super) const TX_GAS: u64 = 21_000;
const HOUR: u64 = 3600;

/// Bounds of the operator, in wei and blocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caps {
    pub(super) max_fee: u128,
    pub(super) max_tip: u128,
    pub(super) max_blob_fee: u128,
    pub(super) budget_per_hour: Option<u128>,
    pub(super) replace_after: u64,
    pub(super) patience: Duration,
}

/// Prices at the newest block, in wei a unit of gas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quote {
    /// The block.
    pub(super) height: u64,
    /// Its time, unix seconds.
    pub(super) time: u64,
    /// Base fee of the next block.
    pub(super) base_fee: u128,
    /// What proposers are said to want.
    pub(super) tip: u128,
    /// Price of blob gas in the next block.
    pub(super) blob_fee: u128,
}

/// The prices a transaction offers at most (EIP-1559, EIP-4844).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bid {
    pub(super) tip: u128,
    pub(super) max_fee: u128,
    pub(super) max_blob_fee: u128,
}

impl Bid {
    /// A first bid: room for both prices to double. The error says which cap the prices are above.
    pub(super) fn first(quote: &Quote, caps: &Caps) -> Result<Self, String> {
        if quote.base_fee >= caps.max_fee {
            let (fee, cap) = (quote.base_fee, caps.max_fee);
            return Err(format!("the base fee of {fee} wei is not below the cap max_fee of {cap}"));
        }
        if quote.blob_fee > caps.max_blob_fee {
            let (fee, cap) = (quote.blob_fee, caps.max_blob_fee);
            return Err(format!(
                "the blob fee of {fee} wei is above the cap max_blob_fee of {cap}"
            ));
        }
        let room = (caps.max_fee - quote.base_fee).min(caps.max_tip / 4);
        let tip = quote.tip.clamp(1, room.max(1));
        Ok(Self {
            tip,
            max_fee: (quote.base_fee.saturating_mul(2).saturating_add(tip)).min(caps.max_fee),
            max_blob_fee: quote.blob_fee.max(1).saturating_mul(2).min(caps.max_blob_fee),
        })
    }

    /// A bid that pools take for the place of `old`: twice the old in all three, as they want for a
    /// transaction with blobs.
    pub(super) fn instead_of(old: &Self, quote: &Quote, caps: &Caps) -> Result<Self, String> {
        let first = Self::first(quote, caps)?;
        let tip = first.tip.max(old.tip.saturating_mul(2));
        let bid = Self {
            tip,
            max_fee: first.max_fee.max(old.max_fee.saturating_mul(2)),
            max_blob_fee: first.max_blob_fee.max(old.max_blob_fee.saturating_mul(2)),
        };
        let within = bid.tip <= caps.max_tip
            && bid.max_fee <= caps.max_fee
            && bid.max_blob_fee <= caps.max_blob_fee;
        within.then_some(bid).ok_or_else(|| {
            format!(
                "a replacement must offer twice of {} wei a gas ({} for the proposer) and {} a blob \
                 gas, which is above max_fee, max_tip or max_blob_fee",
                old.max_fee, old.tip, old.max_blob_fee
            )
        })
    }

    /// Whether the next block may take it.
    pub(super) fn is_enough(&self, quote: &Quote) -> bool {
        self.max_fee >= quote.base_fee.saturating_add(1) && self.max_blob_fee >= quote.blob_fee
    }

    /// What a transaction with so many blobs costs at most, in wei.
    pub(super) fn most(&self, blobs: usize) -> u128 {
        let blob_gas = u128::from(DATA_GAS_PER_BLOB).saturating_mul(blobs as u128);
        let gas = u128::from(TX_GAS).saturating_mul(self.max_fee);
        gas.saturating_add(blob_gas.saturating_mul(self.max_blob_fee))
    }
}

/// What was spent in the last hour of the parent chain's time, and in all.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    entries: VecDeque<(u64, u128)>,
    since: Option<u64>,
    total: u128,
}

impl Ledger {
    /// A transaction of a block at `time` (unix seconds) cost so many wei.
    pub(super) fn spent(&mut self, time: u64, wei: u128) {
        self.since.get_or_insert(time);
        self.total = self.total.saturating_add(wei);
        self.entries.push_back((time, wei));
        self.trim(time);
    }

    fn trim(&mut self, now: u64) {
        while self.entries.front().is_some_and(|(time, _)| time + HOUR <= now) {
            self.entries.pop_front();
        }
    }

    /// Spent in the hour before `now`.
    pub(super) fn last_hour(&mut self, now: u64) -> u128 {
        self.trim(now);
        self.entries.iter().map(|(_, wei)| wei).sum()
    }

    /// How long a balance lasts at the rate of the last hour, or of the time since the first post if
    /// that is shorter, but ten minutes at least.
    pub(super) fn runway(&mut self, now: u64, balance: U256) -> Runway {
        let spent = self.last_hour(now);
        let since = now.saturating_sub(self.since.unwrap_or(now)).clamp(HOUR / 6, HOUR);
        Runway {
            balance_wei: balance,
            wei_per_hour: spent.saturating_mul(HOUR.into()) / u128::from(since),
            spent_wei: self.total,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPS: Caps = Caps {
        max_fee: 1000,
        max_tip: 80,
        max_blob_fee: 500,
        budget_per_hour: None,
        replace_after: 3,
        patience: Duration::from_secs(1),
    };

    fn quote(base_fee: u128, tip: u128, blob_fee: u128) -> Quote {
        Quote { height: 1, time: 1, base_fee, tip, blob_fee }
    }

    #[test]
    fn a_first_bid_leaves_room_and_stays_below_the_caps() {
        let bid = |base, tip, blob| Bid::first(&quote(base, tip, blob), &CAPS);
        let expect = |tip, max_fee, max_blob_fee| Ok(Bid { tip, max_fee, max_blob_fee });
        assert_eq!(bid(100, 5, 7), expect(5, 205, 14));
        assert_eq!(bid(0, 0, 0), expect(1, 1, 2));
        assert_eq!(bid(900, 1000, 400), expect(20, 1000, 500), "a quarter of the tip's cap");
        assert!(bid(1000, 1, 1).unwrap_err().contains("max_fee"));
        assert!(bid(1, 1, 501).unwrap_err().contains("max_blob_fee"));
    }

    #[test]
    fn a_replacement_doubles_all_or_is_none() {
        let old = Bid { tip: 5, max_fee: 205, max_blob_fee: 14 };
        let bid = Bid::instead_of(&old, &quote(100, 5, 100), &CAPS).unwrap();
        assert_eq!(bid, Bid { tip: 10, max_fee: 410, max_blob_fee: 200 });
        let dear = Bid { tip: 41, ..old };
        assert!(Bid::instead_of(&dear, &quote(100, 5, 7), &CAPS).unwrap_err().contains("max_tip"));
        assert!(!old.is_enough(&quote(205, 0, 1)) && !old.is_enough(&quote(1, 0, 15)));
        assert!(old.is_enough(&quote(204, 0, 14)));
        assert_eq!(old.most(2), 21_000 * 205 + 2 * 131_072 * 14);
    }

    #[test]
    fn the_ledger_forgets_after_an_hour_and_the_runway_follows() {
        let mut ledger = Ledger::default();
        let balance = U256::from(1000);
        assert_eq!(ledger.runway(0, balance).hours(), None);
        ledger.spent(10_000, 100);
        ledger.spent(10_300, 100);
        assert_eq!(ledger.last_hour(10_300), 200);
        let runway = ledger.runway(10_300, balance);
        assert_eq!((runway.wei_per_hour, runway.spent_wei), (1200, 200));
        assert!(runway.hours().is_some_and(|hours| (0.8..0.9).contains(&hours)));
        assert_eq!(ledger.runway(13_600, balance).wei_per_hour, 100);
        assert_eq!((ledger.last_hour(13_900), ledger.runway(20_000, balance).spent_wei), (0, 200));
    }
}
