//! Who is a member, as this chain holds it.

use causeway_bridge::metalayer::view::{self, MemberView};
use causeway_chainspec::directory::Directory;
use serde_json::{Value, json};

use super::super::error::{RpcError, RpcResult};
use super::super::table::Api;
use super::lanes::status_name;
use super::network::Network;
use super::supply::coin_name;

/// `metalayer_getDirectory()`.
pub(super) fn directory(api: &Api) -> RpcResult<Value> {
    let network = Network::open(api)?;
    let own = network.own();
    let spec = &api.backend.spec().metalayer;
    let seed = spec
        .directory
        .as_ref()
        .ok_or_else(|| RpcError::internal("a member has no seed of the directory"))?;
    let sequence = view::directory_sequence(&*own.state)?;
    let followed = |domain| network.reader(domain).is_some();
    let mut answer = directory_json(seed, sequence, &network.members, own.domain, &followed);
    answer["coin"] = coin_name(spec.coin).into();
    answer["ttlMs"] = spec.ttl_ms.into();
    Ok(answer)
}

/// The seed, and the members as records have made them.
pub(super) fn directory_json(
    seed: &Directory,
    sequence: u64,
    members: &[MemberView],
    own: u32,
    followed: &dyn Fn(u32) -> bool,
) -> Value {
    let members: Vec<_> = members
        .iter()
        .map(|member| {
            json!({
                "name": member.name,
                "domain": member.domain,
                "identity": member.identity,
                "rules": member.rules,
                "active": member.active_ms,
                "status": if member.domain == own { "self" } else { status_name(member.status) },
                "followed": followed(member.domain),
            })
        })
        .collect();
    json!({
        "network": seed.network,
        "networkHash": seed.hash(),
        "governance": seed.governance,
        "hub": seed.hub,
        "maxLagMs": seed.max_lag_ms,
        "sequence": sequence,
        "domain": own,
        "members": members,
    })
}
