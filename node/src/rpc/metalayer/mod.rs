//! `metalayer`: messages between chains, on any member. Quantities of wei are hex; block numbers,
//! domains and gas are plain numbers, times are unix ms.

mod directory;
mod gather;
mod lanes;
mod leaves;
mod message;
mod network;
mod proof;
mod supply;
#[cfg(test)]
mod tests;

use jsonrpsee::core::RegisterMethodError;

use super::table::Table;

pub(crate) use leaves::Outboxes;

pub(crate) fn register(table: &mut Table) -> Result<(), RegisterMethodError> {
    table.heavy("metalayer_getMessage", |api, args, _| gather::message(api, args))?;
    table.heavy("metalayer_getMessageProof", proof::message_proof)?;
    table.heavy("metalayer_getAnchors", |api, _, _| lanes::anchors(api))?;
    table.heavy("metalayer_getLane", |api, args, _| lanes::lane(api, args))?;
    table.heavy("metalayer_getSupply", |api, _, _| supply::supply(api))?;
    table.heavy("metalayer_getDirectory", |api, _, _| directory::directory(api))
}
