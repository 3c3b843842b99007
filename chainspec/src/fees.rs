//! Base fee and gas budget as functions of elapsed time, so that they do not depend on how time is
//! cut into blocks (the shape of EIP-4844's blob fee, in milliseconds).

use alloy_eips::eip4844::fake_exponential;
use alloy_primitives::U256;

use crate::spec::{Fees, Gas};

/// What the fee rules carry from block to block, in one slot of the system account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FeeState {
    /// Gas used above target so far, as EIP-4844's excess.
    pub excess_gas: u64,
    /// Gas left in the token bucket after the last block.
    pub bucket_gas: u64,
    /// Transaction bytes left in the token bucket after the last block.
    pub bucket_bytes: u64,
    /// Time of the last block in ms, kept to 48 bits.
    pub time_ms: u64,
}

impl FeeState {
    /// The state a chain starts with: full buckets, no excess.
    pub fn genesis(gas: &Gas, time_ms: u64) -> Self {
        Self { excess_gas: 0, bucket_gas: gas.burst, bucket_bytes: gas.burst_bytes, time_ms }
    }

    /// Moves time to `time_ms`: buckets refill, excess falls by the target of the elapsed time.
    pub fn advance(mut self, gas: &Gas, time_ms: u64) -> Self {
        let elapsed = time_ms.saturating_sub(self.time_ms);
        let refill = |left: u64, rate: u64, cap: u64| {
            let more = (u128::from(rate) * u128::from(elapsed)).min(u128::from(cap)) as u64;
            left.saturating_add(more).min(cap)
        };
        self.bucket_gas = refill(self.bucket_gas, gas.rate, gas.burst);
        self.bucket_bytes = refill(self.bucket_bytes, gas.rate_bytes, gas.burst_bytes);
        let target = u128::from(gas.target) * u128::from(elapsed);
        self.excess_gas = u128::from(self.excess_gas).saturating_sub(target) as u64;
        self.time_ms = time_ms;
        self
    }

    /// Takes what a block used out of the buckets and adds it to the excess.
    pub fn spend(mut self, gas_used: u64, bytes: u64) -> Self {
        self.bucket_gas = self.bucket_gas.saturating_sub(gas_used);
        self.bucket_bytes = self.bucket_bytes.saturating_sub(bytes);
        self.excess_gas = self.excess_gas.saturating_add(gas_used);
        self
    }

    /// Base fee in wei per gas: max(floor, fake_exponential(min, excess, denominator)).
    pub fn base_fee(&self, fees: &Fees) -> u64 {
        let price = fake_exponential(
            u128::from(fees.min_base_fee),
            u128::from(self.excess_gas),
            u128::from(fees.denominator),
        );
        u64::try_from(price).unwrap_or(u64::MAX).max(fees.floor)
    }

    /// Packs into the four big-endian words of one slot: excess, gas, bytes, time.
    pub fn to_slot(self) -> U256 {
        U256::from_limbs([self.time_ms, self.bucket_bytes, self.bucket_gas, self.excess_gas])
    }

    /// Reads what [`FeeState::to_slot`] wrote.
    pub fn from_slot(slot: U256) -> Self {
        let [time_ms, bucket_bytes, bucket_gas, excess_gas] = *slot.as_limbs();
        Self { excess_gas, bucket_gas, bucket_bytes, time_ms }
    }
}
