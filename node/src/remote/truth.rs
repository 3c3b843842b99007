//! Whether what a claim says of another member is so, by re-deriving that member from its own DA.

use causeway_chainspec::Anchor;
use causeway_chainspec::block::requests_hash;
use causeway_execution::ExecutionError;

use super::{Follower, Remotes};
use crate::node::decode_cursor;

/// What this process found of an anchor. `True` and `False` hold for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Truth {
    /// The member's DA says the same, and all it leans on is true.
    True,
    /// It does not: what is true.
    False(String),
    /// Not known yet: what is waited for.
    NotYet(String),
    /// Cannot be known here: what is gone.
    Pruned(String),
}

impl Truth {
    /// Of several, what decides about all: one that is false, then one that cannot be known.
    pub fn and(self, other: Self) -> Self {
        let rank = |truth: &Self| match truth {
            Self::True => 0,
            Self::NotYet(_) => 1,
            Self::Pruned(_) => 2,
            Self::False(_) => 3,
        };
        if rank(&other) > rank(&self) { other } else { self }
    }

    /// What is wrong with it; `None` if it is true.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::True => None,
            Self::False(text) | Self::NotYet(text) | Self::Pruned(text) => Some(text),
        }
    }
}

impl Remotes {
    /// Judges an anchor by the follower of its domain. Well founded: an anchored block is older
    /// than the block that holds the anchor, on every chain.
    pub fn truth(&self, anchor: &Anchor) -> Truth {
        let Some(follower) = self.followers.get(&anchor.domain) else {
            return Truth::NotYet(format!(
                "member {} is not followed by this process",
                anchor.domain
            ));
        };
        // A follower that cannot be read is no proof of anything.
        follower.truth(anchor).unwrap_or_else(|error| {
            Truth::NotYet(format!("the follower of {} cannot be read: {error}", follower.name()))
        })
    }

    /// Judges all anchors of a claim.
    pub fn truths(&self, anchors: &[Anchor]) -> Truth {
        anchors.iter().fold(Truth::True, |all, anchor| all.and(self.truth(anchor)))
    }
}

impl Follower {
    fn name(&self) -> String {
        let spec = self.node.spec();
        format!("{} (domain {})", spec.short_name, spec.metalayer.domain)
    }

    fn truth(&self, anchor: &Anchor) -> Result<Truth, ExecutionError> {
        let (spec, name, number) = (self.node.spec(), self.name(), anchor.number);
        let differs = |what: &str, ours: &dyn std::fmt::Display, theirs: &dyn std::fmt::Display| {
            Ok(Truth::False(format!("{what} of {name} is {ours}, the anchor says {theirs}")))
        };
        if anchor.identity != spec.identity() {
            return differs("the identity", &spec.identity(), &anchor.identity);
        }
        let rules = spec.rules_hash(anchor.time_ms);
        if anchor.rules_hash != rules {
            return differs("the rules hash", &rules, &anchor.rules_hash);
        }
        let snapshot = self.node.pipeline().snapshot();
        let Some(record) = snapshot.derived(anchor.da.height)? else {
            let newest = snapshot.last_derived()?.map(|(height, _)| height);
            return Ok(self.unread(anchor.da.height, newest));
        };
        let cursor = decode_cursor(&record)?;
        if cursor.da != anchor.da {
            let what = format!("DA block {}", anchor.da.height);
            return differs(&what, &cursor.da.hash, &anchor.da.hash);
        }
        if number > cursor.safe.number {
            let what = format!("the newest block at DA height {}", anchor.da.height);
            return differs(&what, &cursor.safe.number, &number);
        }
        let missing = || ExecutionError::Unknown(format!("block {number}"));
        let block = snapshot.block(number)?.ok_or_else(missing)?;
        if anchor.hash != block.hash {
            return differs(&format!("block {number}"), &block.hash, &anchor.hash);
        }
        let requests = block.header.requests_hash.unwrap_or_default();
        let said = requests_hash(block.claim_hash, anchor.commitment);
        if said != requests {
            // The header holds no more than the hash of it.
            return differs(&format!("the requests hash of block {number}"), &requests, &said);
        }
        let base_fee = block.header.base_fee_per_gas.unwrap_or_default();
        if anchor.base_fee != base_fee {
            return differs(
                &format!("the base fee of block {number}"),
                &base_fee,
                &anchor.base_fee,
            );
        }
        let time_ms = block.plan.claim.time_ms;
        if anchor.time_ms != time_ms {
            return differs(&format!("the time of block {number}"), &time_ms, &anchor.time_ms);
        }
        Ok(self.leaning(number))
    }

    /// Of an anchor at a DA height without a record.
    fn unread(&self, height: u64, newest: Option<u64>) -> Truth {
        let name = self.name();
        if newest.is_some_and(|newest| newest >= height) {
            return Truth::False(format!("{name} begins above DA height {height}"));
        }
        let read = match newest {
            Some(newest) => format!("its DA layer is read up to {newest}"),
            None => "nothing of its DA layer is read".to_owned(),
        };
        match self.trouble.lock().as_ref() {
            None => Truth::NotYet(format!("DA height {height} of {name}: {read}")),
            Some(trouble) if trouble.pruned => {
                Truth::Pruned(format!("DA height {height} of {name}: {}", trouble.reason))
            }
            Some(trouble) => Truth::NotYet(format!(
                "DA height {height} of {name}, which is not followed any more: {}",
                trouble.reason
            )),
        }
    }

    /// Of a block that is as the anchor says: whether all that it leans on is true.
    fn leaning(&self, number: u64) -> Truth {
        // A chain that is no member leans on none.
        let Some((head, held)) = self.node.verified_head() else { return Truth::True };
        if number <= head.number {
            return Truth::True;
        }
        let name = self.name();
        let why = held.as_ref().and_then(Truth::reason).unwrap_or("more is being checked");
        let text = format!("{name} is verified up to block {} only: {why}", head.number);
        match held {
            Some(Truth::False(_)) => Truth::False(text),
            Some(Truth::Pruned(_)) => Truth::Pruned(text),
            _ => Truth::NotYet(text),
        }
    }
}
