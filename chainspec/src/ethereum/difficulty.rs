//! Difficulty of a block of proof of work: Frontier, Homestead (EIP-2), Byzantium (EIP-100), and the
//! bomb that later forks set back.

use alloy_consensus::{EMPTY_OMMER_ROOT_HASH, Header};
use alloy_primitives::U256;

use super::Schedule;
use crate::spec::Fork;

/// Least difficulty.
const LEAST: u64 = 131_072;
/// Blocks in which the bomb doubles.
const BOMB_PERIOD: u64 = 100_000;

/// Difficulty that the child of `parent` must have at a time.
pub(super) fn of_child(schedule: &Schedule, parent: &Header, timestamp: u64) -> U256 {
    let number = parent.number + 1;
    let fork = schedule.fork(number, timestamp, false);
    let elapsed = timestamp.saturating_sub(parent.timestamp);
    let steps = if fork >= Fork::Byzantium {
        let uncles = parent.ommers_hash != EMPTY_OMMER_ROOT_HASH;
        down(1 + u64::from(uncles), elapsed / 9)
    } else if fork >= Fork::Homestead {
        down(1, elapsed / 10)
    } else if elapsed < 13 {
        1
    } else {
        -1
    };
    let step = parent.difficulty / U256::from(2048);
    let by = step.saturating_mul(U256::from(steps.unsigned_abs()));
    let moved = if steps < 0 {
        parent.difficulty.saturating_sub(by)
    } else {
        parent.difficulty.saturating_add(by)
    };
    let period = number.saturating_sub(schedule.bomb_delay(number)) / BOMB_PERIOD;
    let bomb = match period.checked_sub(2) {
        Some(doublings) => U256::ONE << doublings.min(255),
        None => U256::ZERO,
    };
    moved.max(U256::from(LEAST)).saturating_add(bomb)
}

/// max(up - steps, -99)
fn down(up: u64, steps: u64) -> i64 {
    (up as i64).saturating_sub(i64::try_from(steps).unwrap_or(i64::MAX)).max(-99)
}
