//! What of the network this process can read: its own chain, and the members it follows.

use std::sync::Arc;

use alloy_primitives::B256;
use causeway_bridge::metalayer::view::{self, MemberView};
use causeway_chainspec::StateReader;
use serde_json::Value;

use super::super::backend::{ChainReader, Verified};
use super::super::error::{RpcError, RpcResult};
use super::super::table::{Api, Args};

/// Code of a method that this chain cannot answer, whatever its node does.
const NO_MEMBER: i32 = -32601;

/// A chain that can be read here, at its newest block.
pub(super) struct Known {
    /// Domain.
    pub(super) domain: u32,
    /// The node's own chain; others are followed, and have final blocks only.
    pub(super) own: bool,
    /// Newest block whose anchors were found true here, of a followed chain.
    pub(super) verified: Option<u64>,
    /// Its blocks.
    pub(super) chain: Arc<dyn ChainReader>,
    /// Its state after the newest block.
    pub(super) state: Arc<dyn StateReader>,
}

impl Known {
    fn open(domain: u32, own: bool, chain: Arc<dyn ChainReader>) -> RpcResult<Option<Self>> {
        let state = chain.state(chain.latest().number)?;
        Ok(state.map(|state| Self { domain, own, verified: None, chain, state }))
    }
}

/// The network as one request sees it.
pub(super) struct Network {
    /// Members by the order in which they joined, this chain among them.
    pub(super) members: Vec<MemberView>,
    /// This chain first, then the members followed here.
    pub(super) known: Vec<Known>,
    /// How far this chain's anchors were found true.
    pub(super) verified: Option<Verified>,
    /// Now, unix ms.
    pub(super) now_ms: u64,
}

impl Network {
    /// Looks at everything once. An error for a chain that is no member.
    pub(super) fn open(api: &Api) -> RpcResult<Self> {
        let (backend, spec) = (&api.backend, &api.backend.spec().metalayer);
        if !spec.enabled {
            return Err(RpcError::new(
                NO_MEMBER,
                "this chain is not a member of a metalayer: set [metalayer] enabled in its \
                 chain.toml before block 0",
            ));
        }
        let own = Known::open(spec.domain, true, backend.chain())?
            .ok_or_else(|| RpcError::internal("the newest state is missing"))?;
        let members = view::members(&*own.state)?;
        let mut known = vec![own];
        for member in members.iter().filter(|member| member.domain != spec.domain) {
            if let Some(chain) = backend.remote(member.domain) {
                let found = Known::open(member.domain, false, chain)?;
                let verified = backend.remote_verified(member.domain);
                known.extend(found.map(|found| Known { verified, ..found }));
            }
        }
        Ok(Self { members, known, verified: backend.verified(), now_ms: backend.now_ms() })
    }

    /// The node's own chain.
    pub(super) fn own(&self) -> &Known {
        &self.known[0]
    }

    /// A chain that can be read here.
    pub(super) fn reader(&self, domain: u32) -> Option<&Known> {
        self.known.iter().find(|known| known.domain == domain)
    }

    /// What people call a member.
    pub(super) fn name(&self, domain: u32) -> String {
        name_of(&self.members, domain)
    }

    /// Why a message may be unknown here.
    pub(super) fn not_found(&self, id: B256) -> RpcError {
        let followed = self.known[1..].iter().map(|known| known.domain);
        not_found(id, &self.members, self.own().domain, &followed.collect::<Vec<_>>())
    }

    /// The member that a parameter means: a domain as number, decimal or hex text, or a name.
    pub(super) fn member(&self, args: &Args, at: usize) -> RpcResult<&MemberView> {
        find_member(&self.members, &args.need::<Value>(at, "domain")?)
    }
}

/// Name of a member, else its domain.
pub(super) fn name_of(members: &[MemberView], domain: u32) -> String {
    let member = members.iter().find(|member| member.domain == domain);
    member.map_or_else(|| format!("domain {domain}"), |member| member.name.clone())
}

/// The error for a message that no chain here knows: says where was looked.
pub(super) fn not_found(id: B256, members: &[MemberView], own: u32, followed: &[u32]) -> RpcError {
    let names = |wanted: &dyn Fn(u32) -> bool| {
        let names: Vec<&str> = members
            .iter()
            .filter(|member| member.domain != own && wanted(member.domain))
            .map(|member| member.name.as_str())
            .collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    };
    RpcError::server(format!(
        "message not found on this node: {id} (looked at {}, members followed here: {}; not \
         followed: {}). A message of a followed member shows once its block is final",
        name_of(members, own),
        names(&|domain| followed.contains(&domain)),
        names(&|domain| !followed.contains(&domain)),
    ))
}

/// The member that a JSON value names.
pub(super) fn find_member<'a>(
    members: &'a [MemberView],
    wanted: &Value,
) -> RpcResult<&'a MemberView> {
    let (domain, text) = match wanted {
        Value::Number(number) => (number.as_u64(), number.to_string()),
        Value::String(text) => {
            let number = match text.strip_prefix("0x") {
                Some(digits) => u64::from_str_radix(digits, 16).ok(),
                None => text.parse().ok(),
            };
            (number, text.clone())
        }
        _ => return Err(RpcError::params("invalid domain: give a number, hex text or a name")),
    };
    let found =
        members.iter().find(|member| member.name == text || domain == Some(member.domain.into()));
    found.ok_or_else(|| {
        let known: Vec<_> =
            members.iter().map(|member| format!("{} ({})", member.name, member.domain)).collect();
        let text: String = text.chars().take(64).collect();
        RpcError::params(format!("no member {text:?}: members are {}", known.join(", ")))
    })
}
