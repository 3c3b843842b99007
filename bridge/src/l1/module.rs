//! The parent chain inside every block: what contracts of genesis know of it.

use alloy_primitives::U256;
use causeway_chainspec::l1::bridge::{
    Bridge, L1_BLOCK, MESSAGE_PASSER, MESSENGER, STANDARD_BRIDGE,
};
use causeway_chainspec::{
    BlockEnv, BlockPlan, CallOutcome, ChainSpec, Closed, Message, Origin, StateError, SystemBlock,
    SystemCall, SystemModule, SystemState,
};

use super::{counterparts, salt};

/// Slot of the contract on the other side, in those that have one.
const COUNTERPART: U256 = U256::ZERO;
/// Slot of the message passer that is not zero if it takes no coins.
const REFUSES_COINS: U256 = U256::from_limbs([2, 0, 0, 0]);
/// Slots of `L1Block`, as the OP stack has them: number (its upper part is the time, which a claim does
/// not have and which stays 0), hash, and how many blocks before had the same origin.
const NUMBER: U256 = U256::ZERO;
const HASH: U256 = U256::from_limbs([2, 0, 0, 0]);
const SEQUENCE: U256 = U256::from_limbs([3, 0, 0, 0]);

/// The bridge of one chain.
pub struct ParentModule {
    bridge: Bridge,
    chain_id: u64,
}

impl ParentModule {
    /// Of a chain whose contracts have others on a parent chain; `None` for any other.
    pub fn of(spec: &ChainSpec) -> Option<Self> {
        let bridge = Bridge::of(spec).filter(|bridge| bridge.has_contracts)?;
        Some(Self { bridge, chain_id: spec.chain_id })
    }
}

impl SystemModule for ParentModule {
    fn genesis(&self, state: &mut SystemState<'_>) -> Result<Option<Closed>, StateError> {
        let Bridge { owner, portal, .. } = self.bridge;
        let [messenger, bridge] = counterparts(salt(self.chain_id, owner), portal);
        for (here, there) in [(MESSENGER, messenger), (STANDARD_BRIDGE, bridge)] {
            state.set_slot(here, COUNTERPART, there.address.into_word().into())?;
        }
        if !self.bridge.takes_coins {
            state.set_slot(MESSAGE_PASSER, REFUSES_COINS, U256::ONE)?;
        }
        Ok(None)
    }

    fn open(
        &self,
        state: &mut SystemState<'_>,
        _env: &BlockEnv,
        plan: &BlockPlan,
    ) -> Result<Box<dyn SystemBlock>, StateError> {
        if let Some(Origin { number, hash }) = plan.claim.origin {
            let same = state.slot(L1_BLOCK, HASH)? == U256::from_be_bytes(hash.0);
            let before = state.slot(L1_BLOCK, SEQUENCE)?;
            state.set_slot(L1_BLOCK, NUMBER, U256::from(number))?;
            state.set_slot(L1_BLOCK, HASH, hash.into())?;
            let sequence = if same { before + U256::ONE } else { U256::ZERO };
            state.set_slot(L1_BLOCK, SEQUENCE, sequence)?;
        }
        Ok(Box::new(NoCalls))
    }
}

/// It calls nothing and leaves nothing.
struct NoCalls;

impl SystemBlock for NoCalls {
    fn calls(&self) -> Vec<SystemCall> {
        Vec::new()
    }

    fn close(
        self: Box<Self>,
        _state: &mut SystemState<'_>,
        _results: &[CallOutcome],
        _emitted: &[Message],
    ) -> Result<Option<Closed>, StateError> {
        Ok(None)
    }
}
