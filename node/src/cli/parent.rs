//! Choices for a chain whose blobs a parent chain carries.

use alloy_primitives::Address;
use causeway_bridge::l1::Deployment;
use causeway_chainspec::spec::presets::{Contracts, Parent, Template};
use causeway_chainspec::spec::{Invalid, ReadFile};
use causeway_da::ethereum::ParentFacts;

use super::chainspec::parse_here;

/// Puts a chain on a parent chain, from its newest block on; its contracts there are those of an owner.
/// `read` gives the files of preinstalls.
pub(super) fn put_on(
    template: &mut Template,
    facts: &ParentFacts,
    owner: Address,
    read: ReadFile<'_>,
) -> Result<(), Invalid> {
    let ParentFacts { chain_id, height, interval, .. } = *facts;
    let start = height.max(1);
    let parent = Parent { chain_id, start, interval, owner, contracts: None };
    template.on_parent(parent.clone());
    // Membership is no part of what the contracts are made of, and names a file that may not be there.
    let alone = Template { metalayer: None, ..template.clone() };
    let (spec, _) = parse_here(&alone.to_toml(), read)?;
    let deployment = Deployment::of(&spec, owner);
    let (portal, system_config) = (deployment.portal.address, deployment.system_config.address);
    let contracts = Some(Contracts { portal, system_config });
    template.on_parent(Parent { contracts, ..parent });
    Ok(())
}
