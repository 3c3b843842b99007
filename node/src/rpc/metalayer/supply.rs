//! The hub's coin: what this chain has of it, and what it knows of the other members.

use alloy_primitives::U256;
use causeway_bridge::metalayer::view::{self, MemberView, Supply};
use causeway_chainspec::mailbox::Coin;
use serde_json::{Value, json};

use super::super::error::RpcResult;
use super::super::table::Api;
use super::network::Network;

/// `metalayer_getSupply()`.
pub(super) fn supply(api: &Api) -> RpcResult<Value> {
    let network = Network::open(api)?;
    let own = network.own();
    let supply = view::supply(&*own.state)?;
    let mut rows = Vec::new();
    for member in &network.members {
        rows.push((member, view::row(&*own.state, member.domain, supply.asset)?));
    }
    let mut answer = supply_json(&supply, &rows);
    answer["domain"] = own.domain.into();
    answer["block"] = own.chain.latest().number.into();
    answer["coin"] = coin_name(api.backend.spec().metalayer.coin).into();
    Ok(answer)
}

/// A supply, and wei per member; a row that is null has no bound: the coin is at home there.
pub(super) fn supply_json(supply: &Supply, rows: &[(&MemberView, Option<U256>)]) -> Value {
    let rows: Vec<_> = rows
        .iter()
        .map(|(member, wei)| json!({ "domain": member.domain, "name": member.name, "holds": wei }))
        .collect();
    json!({
        "asset": supply.asset,
        "circulating": supply.circulating,
        "locked": supply.locked,
        "inFlight": supply.in_flight,
        "escrow": supply.escrow,
        "token": supply.token,
        "rows": rows,
    })
}

/// What the gas coin is, as the spec file names it.
pub(super) fn coin_name(coin: Coin) -> &'static str {
    match coin {
        Coin::Own => "own",
        Coin::Hub => "hub",
        Coin::Home => "home",
    }
}
