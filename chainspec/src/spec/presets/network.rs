//! A whole network from a few choices: the `chain.toml` of each member, and its `metalayer.toml`.

use alloy_primitives::{Address, U256};

use super::{DEV_GOVERNANCE, Keys, Template};
use crate::directory::{Directory, SeedMember, SeedTransfer};
use crate::spec::issue::Report;
use crate::spec::network::FILE_NAME;
use crate::spec::parse::{Inputs, draft};
use crate::spec::{ChainSpec, Invalid, parse, units};

/// Membership of a chain, as `[metalayer]` says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// Whether the hub's coin pays for gas; of the hub itself: no.
    pub hub_coin: bool,
    /// Where `metalayer.toml` lies, relative to `chain.toml`.
    pub directory: String,
}

/// A member in a few words: name, chain id, VM, and whether its coin is the hub's. The first
/// member is the hub.
pub type NewMember<'a> = (&'a str, u64, &'a str, bool);

/// The choices. The first chain is the hub; its domain, like every other, is its chain id.
#[derive(Debug, Clone)]
pub struct NetworkTemplate {
    /// Name of the network.
    pub network: String,
    /// Signs changes of the directory.
    pub governance: Address,
    /// A member of which nothing was taken in for so long is stalled, ms.
    pub max_lag_ms: u64,
    /// Members with a [`Membership`] each, by ascending chain id. What accounts of a member with
    /// the hub's coin have at genesis becomes transfers from the hub.
    pub chains: Vec<Template>,
}

/// The texts of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkFiles {
    /// `chain.toml` of each member, in the order of the choices.
    pub chains: Vec<String>,
    /// `metalayer.toml`.
    pub metalayer: String,
}

impl NetworkTemplate {
    /// A network of devnets in which the ten dev accounts have 10000 ether on each chain, of the
    /// coin that pays for gas there. `directory` is where each `chain.toml` finds `metalayer.toml`.
    pub fn devnet(
        members: &[NewMember<'_>],
        directory: &str,
        keys: Keys,
        genesis_time_ms: u64,
    ) -> Self {
        let chain = |(index, member): (usize, &NewMember<'_>)| {
            let (name, chain_id, vm, hub_coin) = *member;
            let hub_coin = hub_coin && index > 0;
            let mut chain = Template::devnet(name, chain_id, vm, keys, genesis_time_ms);
            if hub_coin || index == 0 {
                "ERA".clone_into(&mut chain.symbol);
            }
            chain.metalayer = Some(Membership { hub_coin, directory: directory.to_owned() });
            chain
        };
        Self {
            network: "devnet".to_owned(),
            governance: DEV_GOVERNANCE,
            max_lag_ms: 600_000,
            chains: members.iter().enumerate().map(chain).collect(),
        }
    }

    /// Writes the files; each member's is checked. `inputs.read` gives the files of preinstalls.
    pub fn files(&self, inputs: &Inputs<'_>) -> Result<NetworkFiles, Invalid> {
        let mut seed = self.seed()?;
        // The hashes of a member depend on who is the hub, but on no hash in the seed.
        let draft_seed = seed.to_toml();
        for chain in &self.chains {
            let spec = self.draft(chain, &draft_seed, inputs)?;
            for member in &mut seed.members {
                if u64::from(member.domain) == chain.chain_id {
                    member.base = spec.base_identity();
                    member.rules = spec.rules_hash(spec.genesis.time_ms);
                }
            }
        }
        let metalayer = seed.to_toml();
        let chains: Vec<_> = self.chains.iter().map(Template::to_toml).collect();
        for (chain, text) in self.chains.iter().zip(&chains) {
            let read = reader(chain, &metalayer, inputs);
            parse(text, &Inputs { read: &read, ..*inputs })?;
        }
        Ok(NetworkFiles { chains, metalayer })
    }

    fn draft(
        &self,
        chain: &Template,
        seed: &str,
        inputs: &Inputs<'_>,
    ) -> Result<ChainSpec, Invalid> {
        let text = chain.to_toml();
        let read = reader(chain, seed, inputs);
        let mut report = Report::default();
        let spec = draft(&text, &Inputs { read: &read, ..*inputs }, &mut report);
        let failed = report.failed();
        match spec {
            Some((spec, _)) if !failed => Ok(spec),
            _ => Err(Invalid { issues: report.finish(&text) }),
        }
    }

    /// The seed, without hashes.
    fn seed(&self) -> Result<Directory, Invalid> {
        let mut report = Report::default();
        let domain = |chain: &Template| u32::try_from(chain.chain_id).unwrap_or_default();
        let members = self.chains.iter().map(|chain| SeedMember {
            name: chain.slug(),
            domain: domain(chain),
            base: Default::default(),
            rules: Default::default(),
        });
        let mut transfers = Vec::new();
        for chain in self.chains.iter().filter(|chain| chain.takes_hub_coin()) {
            for (recipient, amount) in &chain.funds {
                let wei = units::wei(&toml::Value::String(amount.clone()));
                let amount = wei.unwrap_or_else(|reason| {
                    let path = format!("genesis.alloc.{recipient}.balance");
                    report.error("CS0004", path, reason, "write an amount as \"1 ether\"");
                    U256::ZERO
                });
                transfers.push(SeedTransfer { to: domain(chain), recipient: *recipient, amount });
            }
        }
        if report.failed() {
            return Err(Invalid { issues: report.finish("") });
        }
        Ok(Directory {
            network: self.network.clone(),
            governance: self.governance,
            hub: self.chains.first().map_or(0, domain),
            max_lag_ms: self.max_lag_ms,
            members: members.collect(),
            transfers,
        })
    }
}

/// Reads the seed under the name a chain has for it, and everything else as `inputs` does.
fn reader<'a>(
    chain: &'a Template,
    seed: &'a str,
    inputs: &'a Inputs<'_>,
) -> impl Fn(&str) -> Result<Vec<u8>, String> + 'a {
    let place = chain.metalayer.as_ref().map_or(FILE_NAME, |member| member.directory.as_str());
    move |name: &str| {
        if name == place { Ok(seed.as_bytes().to_vec()) } else { (inputs.read)(name) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailbox::Coin;

    const MEMBERS: [NewMember<'static>; 3] =
        [("alpha", 901, "evm", true), ("beta", 902, "evm", false), ("gamma", 903, "ledger", true)];

    fn files() -> NetworkFiles {
        let template =
            NetworkTemplate::devnet(&MEMBERS, "../metalayer.toml", Keys::DEV, 1_700_000_000_000);
        template.files(&Inputs::NONE).unwrap()
    }

    #[test]
    fn a_network_of_devnets_is_valid_and_each_member_is_in_it() {
        let files = files();
        let read = |name: &str| match name {
            "../metalayer.toml" => Ok(files.metalayer.clone().into_bytes()),
            other => Err(format!("no {other}")),
        };
        let inputs = Inputs { read: &read, ..Inputs::NONE };
        let specs: Vec<_> = files.chains.iter().map(|text| parse(text, &inputs).unwrap()).collect();
        assert!(specs.iter().all(|(_, warnings)| warnings.is_empty()), "{specs:#?}");
        let coins: Vec<_> = specs.iter().map(|(spec, _)| spec.metalayer.coin).collect();
        assert_eq!(coins, [Coin::Home, Coin::Own, Coin::Hub]);
        let seed = specs[0].0.metalayer.directory.clone().unwrap();
        for (spec, _) in &specs {
            assert_eq!(spec.metalayer.directory.as_ref(), Some(&seed));
            let member = seed.member(spec.metalayer.domain).unwrap();
            assert_eq!(member.base, spec.base_identity());
            assert_eq!(seed.identity(member.base), spec.identity());
            assert_ne!(spec.identity(), spec.base_identity());
        }
        let funded =
            |at: usize| specs[at].0.genesis.alloc.values().filter(|a| !a.balance.is_zero()).count();
        assert_eq!([funded(0), funded(1), funded(2)], [10, 10, 0]);
        assert_eq!(seed.transfers.len(), 10);
        assert!(seed.transfers.iter().all(|transfer| transfer.to == 903));
        assert_eq!(files, self::files(), "equal choices, equal text");
    }

    #[test]
    fn a_wrong_choice_is_told_and_not_written() {
        let mut template = NetworkTemplate::devnet(&MEMBERS, FILE_NAME, Keys::DEV, 0);
        template.chains[2].funds[0].1 = "much".to_owned();
        assert_eq!(template.files(&Inputs::NONE).unwrap_err().issues[0].code, "CS0004");
        let twice = [MEMBERS[0], MEMBERS[1], ("beta", 903, "evm", true)];
        let template = NetworkTemplate::devnet(&twice, FILE_NAME, Keys::DEV, 0);
        let issues = template.files(&Inputs::NONE).unwrap_err().issues;
        assert_eq!((issues[0].code, issues[0].path.as_str()), ("CS0071", "members[2].name"));
        assert_eq!(issues[0].file.as_deref(), Some(FILE_NAME));
    }
}
