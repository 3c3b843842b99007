//! Choices for a chain whose blobs a parent chain carries.

use alloy_primitives::Address;
use causeway_bridge::l1::Deployment;
use causeway_chainspec::l1::bridge::Bridge;
use causeway_chainspec::spec::presets::{Contracts, Parent, Template};
use causeway_chainspec::spec::{Invalid, ReadFile};
use causeway_da::ethereum::ParentFacts;

use super::chainspec::parse_here;

/// Who has a say on the parent chain, and how long outputs stand there before coins leave.
pub(super) struct Terms {
    pub(super) owner: Address,
    pub(super) proposer: Address,
    pub(super) challenge: &'static str,
}

/// Puts a chain on a parent chain, from its newest block on; its contracts there are on these terms.
/// `read` gives the files of preinstalls.
pub(super) fn put_on(
    template: &mut Template,
    facts: &ParentFacts,
    terms: &Terms,
    read: ReadFile<'_>,
) -> Result<(), Invalid> {
    let ParentFacts { chain_id, height, interval, .. } = *facts;
    let start = height.max(1);
    let Terms { owner, proposer, challenge } = *terms;
    let challenge = challenge.to_owned();
    let parent = Parent { chain_id, start, interval, owner, proposer, challenge, contracts: None };
    template.on_parent(parent.clone());
    // The contracts' addresses are made of the spec without them. Of membership it matters only whose
    // coin there is, and its file may not be there yet.
    let hub_coin = template.metalayer.as_ref().is_some_and(|membership| membership.hub_coin);
    let alone = Template { metalayer: None, ..template.clone() };
    let (spec, _) = parse_here(&alone.to_toml(), read)?;
    let contracts = Bridge::of(&spec).map(|mut bridge| {
        bridge.takes_coins &= !hub_coin;
        let deployment = Deployment::of(&spec, &bridge);
        let (portal, system_config) = (&deployment.portal, &deployment.system_config);
        Contracts { portal: portal.address, system_config: system_config.address }
    });
    template.on_parent(Parent { contracts, ..parent });
    Ok(())
}
