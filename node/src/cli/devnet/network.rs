//! The chains of a devnet: what was asked for, as files, and back.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use causeway_chainspec::mailbox::Coin;
use causeway_chainspec::spec::presets::{
    DEV_GOVERNANCE, Keys, NetworkTemplate, NewMember, Template,
};
use causeway_chainspec::{ChainSpec, spec};
use clap::ValueEnum;
use eyre::{WrapErr, eyre};

use super::super::chainspec::{parse_here, with_inputs};
use super::super::load_spec;
use super::super::parent::{Terms, put_on};
use super::super::preset::Preset;
use super::parent::Parent;
use crate::exit::{Exit, ExitError};

/// Names of chains, in order; the first is the hub.
pub(super) const NAMES: [&str; 16] = [
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa",
    "lambda", "mu", "nu", "xi", "omicron", "pi",
];
/// The network's file, beside the directories of its chains.
pub(super) const NETWORK_FILE: &str = spec::network::FILE_NAME;
/// The spec in the directory of each chain.
pub(super) const SPEC_FILE: &str = "chain.toml";
const FIRST_ID: u64 = 901;
/// The layer of chains with a parent chain.
const PARENT_LAYER: &str = "ethereum";
/// How long an output stands before coins leave by it: short, for people who try it.
const CHALLENGE: &str = "10s";
/// Layers that a devnet can run.
const LAYERS: [&str; 2] = ["local", PARENT_LAYER];

/// Whose coin pays for gas on a chain beside the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum CoinChoice {
    /// The chain's own.
    Own,
    /// The hub's.
    Hub,
}

/// What is asked of a new devnet. Of an old one it must hold already.
#[derive(Debug, Clone, Default)]
pub(super) struct Choices {
    pub(super) chains: Option<u8>,
    /// Of the chains in order; the last is of all further ones.
    pub(super) vms: Vec<String>,
    /// DA layers, likewise; those of a parent chain if nothing is said and there is one.
    pub(super) das: Vec<String>,
    /// Whether a parent chain is given.
    pub(super) l1: bool,
    /// Of the chains after the hub in order, likewise.
    pub(super) coins: Vec<CoinChoice>,
    pub(super) chain_id: Option<u64>,
    pub(super) preset: Option<Preset>,
    pub(super) block_time: Option<String>,
}

impl Choices {
    fn vm(&self, index: usize) -> Option<&str> {
        self.vms.get(index).or(self.vms.last()).map(String::as_str)
    }

    fn da(&self, index: usize) -> Option<&str> {
        self.das.get(index).or(self.das.last()).map(String::as_str)
    }

    /// DA layer of a chain of a new devnet.
    fn layer(&self, index: usize) -> &str {
        self.da(index).unwrap_or(if self.l1 { PARENT_LAYER } else { LAYERS[0] })
    }

    /// Of a chain beside the hub.
    fn coin(&self, index: usize) -> Option<CoinChoice> {
        self.coins.get(index - 1).or(self.coins.last()).copied()
    }

    /// More of something than chains is a slip.
    fn check(&self, chains: usize) -> eyre::Result<()> {
        let of_each = self.vms.len().max(self.das.len());
        if of_each > chains || self.coins.len() >= chains && !self.coins.is_empty() {
            let needed = of_each.max(self.coins.len() + 1);
            eyre::bail!(
                "--vm and --da name one module a chain and --coin one coin a chain after the hub, \
                 but there would be {chains}: add --chains {needed}"
            );
        }
        if let Some(da) = self.das.iter().find(|da| !LAYERS.contains(&da.as_str())) {
            eyre::bail!("--da {da}: a devnet has {}", LAYERS.join(" and "));
        }
        if self.l1 && !(0..chains).any(|index| self.layer(index) == PARENT_LAYER) {
            eyre::bail!("--l1 is given, and --da puts no chain on it: leave one of them out");
        }
        Ok(())
    }
}

/// A chain and where its files are.
pub(super) struct Member {
    pub(super) name: &'static str,
    pub(super) dir: PathBuf,
    pub(super) spec: Arc<ChainSpec>,
}

impl Member {
    /// Whether a parent chain carries its blobs.
    pub(super) fn is_on_parent(&self) -> bool {
        self.spec.da.layer == PARENT_LAYER
    }
}

/// How many chains a directory has.
fn there(dir: &Path) -> usize {
    NAMES.iter().take_while(|name| dir.join(name).join(SPEC_FILE).exists()).count()
}

/// Whether the devnet of a directory, or a new one, needs a parent chain; an error if it is not what is
/// asked for.
pub(super) fn needs_parent(dir: &Path, choices: &Choices) -> Result<bool, ExitError> {
    if there(dir) > 0 {
        let members = open(dir, choices, None, 0)?;
        return Ok(members.iter().any(Member::is_on_parent));
    }
    let chains = usize::from(choices.chains.unwrap_or(1));
    choices.check(chains).map_err(|report| ExitError::new(Exit::Spec, report))?;
    Ok((0..chains).any(|index| choices.layer(index) == PARENT_LAYER))
}

/// The chains of a directory; written first if it is new. `parent` is the chain that carries blobs, if
/// there is one.
pub(super) fn open(
    dir: &Path,
    choices: &Choices,
    parent: Option<&Parent>,
    now_ms: u64,
) -> Result<Vec<Member>, ExitError> {
    let mut count = there(dir);
    let new = count == 0;
    if new {
        if dir.join(SPEC_FILE).exists() {
            let report = eyre!(
                "the devnet in {} is of an older version of causeway; add --fresh to start over",
                dir.display()
            );
            return Err(ExitError::new(Exit::Spec, report));
        }
        count = usize::from(choices.chains.unwrap_or(1));
        choices.check(count).map_err(|report| ExitError::new(Exit::Spec, report))?;
        write(dir, count, (choices, parent), now_ms)?;
    }
    let mut members = Vec::with_capacity(count);
    for name in &NAMES[..count] {
        let dir = dir.join(name);
        let spec = Arc::new(load_spec(&dir.join(SPEC_FILE))?);
        members.push(Member { name, dir, spec });
    }
    if !new && differ(choices, &members) {
        let shown: Vec<_> = members.iter().map(shown).collect();
        let report = eyre!(
            "the devnet in {} has {}, each with its own block time; leave the flags out to go on \
             with it, or add --fresh to start over",
            dir.display(),
            shown.join(", ")
        );
        return Err(ExitError::new(Exit::Spec, report));
    }
    Ok(members)
}

fn shown(member: &Member) -> String {
    let coin = coin_name(member.spec.metalayer.coin);
    let Member { name, spec, .. } = member;
    let (vm, da, id) = (&spec.vm, &spec.da.layer, spec.chain_id);
    format!("{name} (vm {vm}, da {da}, chain id {id}, coin {coin})")
}

/// As `devnet.json` has it.
pub(super) fn coin_name(coin: Coin) -> &'static str {
    match coin {
        Coin::Own => "own",
        Coin::Hub => "hub",
        Coin::Home => "home",
    }
}

/// Whether an old devnet is not what is asked for.
fn differ(choices: &Choices, members: &[Member]) -> bool {
    let count = choices.chains.is_some_and(|count| usize::from(count) != members.len());
    let one = |(index, member): (usize, &Member)| {
        let spec = &member.spec;
        let vm = choices.vm(index).is_some_and(|vm| vm != spec.vm);
        let da = choices.da(index).is_some_and(|da| da != spec.da.layer);
        let id = choices.chain_id.is_some_and(|id| id + index as u64 != spec.chain_id);
        let wanted = if index == 0 { None } else { choices.coin(index) };
        let coin = wanted
            .is_some_and(|coin| (coin == CoinChoice::Hub) != (spec.metalayer.coin == Coin::Hub));
        vm || da || id || coin
    };
    choices.preset.is_some()
        || choices.l1 && !members.iter().any(Member::is_on_parent)
        || choices.block_time.is_some()
        || count
        || choices.check(members.len()).is_err()
        || members.iter().enumerate().any(one)
}

/// Writes the specs, once all of them are known to be valid.
fn write(
    dir: &Path,
    count: usize,
    (choices, parent): (&Choices, Option<&Parent>),
    now_ms: u64,
) -> Result<(), ExitError> {
    let texts = if count == 1 {
        let vm = choices.vm(0).unwrap_or("evm");
        let id = choices.chain_id.unwrap_or(FIRST_ID);
        let mut template = Template::devnet(NAMES[0], id, vm, Keys::DEV, now_ms);
        set_times(&mut template, choices);
        set_layer(&mut template, 0, (choices, parent))?;
        let text = template.to_toml();
        parse_here(&text, &nothing).map_err(|invalid| ExitError::new(Exit::Spec, invalid))?;
        vec![text]
    } else {
        several(dir, count, (choices, parent), now_ms)?
    };
    // The first comes last: it is what makes a directory one of a devnet.
    for (name, text) in NAMES.iter().zip(&texts).rev() {
        let dir = dir.join(name);
        let file = dir.join(SPEC_FILE);
        std::fs::create_dir_all(&dir)
            .and_then(|()| std::fs::write(&file, text))
            .wrap_err_with(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

/// The specs of several chains; their `metalayer.toml` is written.
fn several(
    dir: &Path,
    count: usize,
    (choices, parent): (&Choices, Option<&Parent>),
    now_ms: u64,
) -> Result<Vec<String>, ExitError> {
    let first = choices.chain_id.unwrap_or(FIRST_ID);
    let members: Vec<NewMember<'_>> = NAMES[..count]
        .iter()
        .enumerate()
        .map(|(index, name)| {
            let hub_coin = index > 0 && choices.coin(index) != Some(CoinChoice::Own);
            (
                *name,
                first.saturating_add(index as u64),
                choices.vm(index).unwrap_or("evm"),
                hub_coin,
            )
        })
        .collect();
    let place = format!("../{NETWORK_FILE}");
    let mut template = NetworkTemplate::devnet(&members, &place, Keys::DEV, now_ms);
    for (index, chain) in template.chains.iter_mut().enumerate() {
        set_times(chain, choices);
        set_layer(chain, index, (choices, parent))?;
    }
    let files = with_inputs(&nothing, |inputs| template.files(inputs))
        .map_err(|invalid| ExitError::new(Exit::Spec, invalid))?;
    let path = dir.join(NETWORK_FILE);
    std::fs::create_dir_all(dir)
        .and_then(|()| std::fs::write(&path, files.metalayer))
        .wrap_err_with(|| format!("cannot write {}", path.display()))?;
    Ok(files.chains)
}

fn set_times(template: &mut Template, choices: &Choices) {
    if let Some(preset) = choices.preset {
        preset.apply(template);
    }
    if let Some(block_time) = &choices.block_time {
        template.block_time.clone_from(block_time);
    }
}

/// Puts the chain with an index on its parent, if it is to have one.
fn set_layer(
    template: &mut Template,
    index: usize,
    (choices, parent): (&Choices, Option<&Parent>),
) -> Result<(), ExitError> {
    let Some(parent) = parent else { return Ok(()) };
    if choices.layer(index) == PARENT_LAYER {
        let terms = Terms {
            owner: DEV_GOVERNANCE,
            proposer: parent.proposer(index)?.address(),
            challenge: CHALLENGE,
        };
        put_on(template, &parent.facts, &terms, &nothing)
            .map_err(|invalid| ExitError::new(Exit::Spec, invalid))?;
    }
    Ok(())
}

/// A devnet's specs name no other files.
fn nothing(name: &str) -> Result<Vec<u8>, String> {
    Err(format!("a devnet has no {name}"))
}

/// Deletes what a devnet wrote, and nothing else.
pub(super) fn clear(dir: &Path) -> eyre::Result<()> {
    // The directory itself is where a devnet had its only chain before it could have several.
    let chains = NAMES.iter().map(|name| dir.join(name)).chain([dir.to_path_buf()]);
    for chain in chains {
        for name in ["da", "sequencer", "full"] {
            remove(&chain.join(name))?;
        }
        remove(&chain.join(SPEC_FILE))?;
        if chain != dir {
            remove_empty(&chain)?;
        }
    }
    let remotes = dir.join("remotes");
    for name in NAMES {
        remove(&remotes.join(name))?;
    }
    remove_empty(&remotes)?;
    let parent = dir.join(super::parent::DIR);
    super::parent::end_orphan(&parent);
    remove(&parent)?;
    remove(&dir.join(NETWORK_FILE))?;
    remove(&dir.join(super::endpoints::FILE))
}

/// Deletes a file or a directory with all in it, if it is there.
fn remove(path: &Path) -> eyre::Result<()> {
    let removed = match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(_) => return Ok(()),
    };
    removed.wrap_err_with(|| format!("cannot delete {}", path.display()))
}

/// Deletes a directory unless somebody put something else into it.
fn remove_empty(path: &Path) -> eyre::Result<()> {
    match std::fs::read_dir(path).map(|mut entries| entries.next().is_none()) {
        Ok(true) => remove(path),
        Ok(false) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests;
