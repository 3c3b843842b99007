//! Other members that a process follows: from its settings, beside its nodes, until they stop.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use causeway_chainspec::{ChainSpec, Clock};
use eyre::{bail, eyre};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::load_spec;
use crate::config::RemoteFile;
use crate::exit::{Exit, ExitError};
use crate::node::NodeError;
use crate::remote::{RemoteSettings, Remotes};

/// Directory of the followers' data in a datadir.
pub(super) const DIR: &str = "remotes";

/// What `[remotes]` of a node's settings asks for, and the chain itself: what others say of it is
/// checked against final data, too. Tells which members are not followed.
pub(super) fn settings(
    spec: &Arc<ChainSpec>,
    own_da: &toml::Table,
    files: &BTreeMap<String, RemoteFile>,
    datadir: &Path,
) -> Result<Vec<RemoteSettings>, ExitError> {
    let mut followed = Vec::with_capacity(files.len());
    for (name, file) in files {
        let remote = load_spec(&file.spec)?;
        check(spec, name, &remote).map_err(|report| {
            let report = eyre!("[remotes.{name}] {}: {report}", file.spec.display());
            ExitError::new(Exit::Spec, report)
        })?;
        followed.push(RemoteSettings {
            da: causeway_da::open(&remote, &file.da)?,
            spec: Arc::new(remote),
            datadir: datadir.join(DIR).join(name).into(),
        });
    }
    for name in unfollowed(spec, &followed) {
        warn!(
            member = name,
            "not followed: on this node its lane cannot advance and what others say of it is not \
             verified; add [remotes.{name}] to node.toml"
        );
    }
    if !followed.is_empty() {
        followed.push(RemoteSettings {
            da: causeway_da::open(spec, own_da)?,
            spec: spec.clone(),
            datadir: datadir.join(DIR).join("self").into(),
        });
    }
    Ok(followed)
}

/// Members of the seed that nobody here follows.
fn unfollowed<'a>(spec: &'a ChainSpec, followed: &[RemoteSettings]) -> Vec<&'a str> {
    let seed = spec.metalayer.directory.iter().flat_map(|seed| &seed.members);
    let ours = |domain: u32| {
        let mut known = followed.iter().map(|remote| remote.spec.metalayer.domain);
        domain == spec.metalayer.domain || known.any(|known| known == domain)
    };
    seed.filter(|member| !ours(member.domain)).map(|member| member.name.as_str()).collect()
}

/// Whether a spec is that of the member it is said to be.
fn check(spec: &ChainSpec, name: &str, remote: &ChainSpec) -> eyre::Result<()> {
    let Some(seed) = &spec.metalayer.directory else {
        bail!("this chain is no member of the Metalayer and follows nobody: remove the section");
    };
    let domain = remote.metalayer.domain;
    if domain == spec.metalayer.domain {
        bail!("this is the chain itself: remove the section");
    }
    let named = seed.members.iter().find(|member| member.name == name);
    let Some(member) = named else {
        match seed.member(domain) {
            Some(member) => {
                bail!("domain {domain} is {} in the network: call it that", member.name)
            }
            // It joined by a record, which names its identity.
            None if remote.metalayer.enabled => return Ok(()),
            None => bail!("{} is no member of the Metalayer", remote.short_name),
        }
    };
    if member.domain != domain {
        bail!("{name} has domain {} in the network, this spec has {domain}", member.domain);
    }
    let (listed, found) = (seed.identity(member.base), remote.identity());
    if listed != found {
        bail!(
            "{name} has identity {listed} in the network, this spec has {found}: get chain.toml and \
             metalayer.toml of that chain from whoever runs it"
        );
    }
    Ok(())
}

/// The loop that follows, while it runs.
pub(super) struct Following {
    stop: CancellationToken,
    task: Option<JoinHandle<Result<(), NodeError>>>,
}

/// Opens followers and starts to follow. Without any nothing runs.
pub(super) async fn start(
    settings: Vec<RemoteSettings>,
    clock: Arc<dyn Clock>,
    cache_bytes: usize,
) -> Result<(Arc<Remotes>, Following), ExitError> {
    let stop = CancellationToken::new();
    if settings.is_empty() {
        return Ok((Arc::default(), Following { stop, task: None }));
    }
    let remotes =
        tokio::task::spawn_blocking(move || Remotes::open(settings, clock, cache_bytes)).await??;
    let task = tokio::spawn(remotes.clone().run(stop.clone()));
    Ok((remotes, Following { stop, task: Some(task) }))
}

impl Following {
    /// Waits until it fails; for ever if nobody is followed.
    pub(super) async fn failed(&mut self) -> NodeError {
        let Some(task) = &mut self.task else { return std::future::pending().await };
        let ended = task.await;
        self.task = None;
        match ended {
            Ok(Err(error)) => error,
            Ok(Ok(())) => NodeError::Task("following other members ended by itself".into()),
            Err(error) => NodeError::Task(format!("following other members panicked: {error}")),
        }
    }

    /// Stops it, after the nodes that ask it.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        let Some(task) = self.task else { return };
        match task.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => error!(%error, "following other members failed while stopping"),
            Err(error) => error!(%error, "following other members panicked while stopping"),
        }
    }
}

#[cfg(test)]
mod tests {
    use causeway_chainspec::spec::presets::{Keys, NetworkTemplate};
    use causeway_chainspec::spec::{Inputs, parse};

    use super::*;

    /// Specs of a network whose members are at a time.
    fn network(time_ms: u64) -> Vec<ChainSpec> {
        let members = [
            ("alpha", 901, "evm", true),
            ("beta", 902, "evm", true),
            ("gamma", 903, "ledger", true),
        ];
        let template = NetworkTemplate::devnet(&members, "metalayer.toml", Keys::DEV, time_ms);
        let files = template.files(&Inputs::NONE).unwrap();
        let read = |_: &str| Ok(files.metalayer.clone().into_bytes());
        let inputs = Inputs { read: &read, ..Inputs::NONE };
        files.chains.iter().map(|text| parse(text, &inputs).unwrap().0).collect()
    }

    #[test]
    fn a_remote_must_be_the_member_it_is_called() {
        let (specs, others) = (network(1_700_000_000_000), network(1_700_000_001_000));
        let said = |name: &str, remote: &ChainSpec| {
            check(&specs[0], name, remote).map_err(|report| report.to_string())
        };
        assert_eq!(said("beta", &specs[1]), Ok(()));
        assert_eq!(said("gamma", &specs[2]), Ok(()));
        assert!(said("alpha", &specs[0]).unwrap_err().contains("the chain itself"));
        assert!(said("delta", &specs[1]).unwrap_err().contains("is beta in the network"));
        assert!(said("gamma", &specs[1]).unwrap_err().contains("has domain 903"));
        let wrong = said("beta", &others[1]).unwrap_err();
        for identity in [specs[1].identity(), others[1].identity()] {
            assert!(wrong.contains(&identity.to_string()), "{wrong}");
        }
    }

    #[test]
    fn members_that_are_not_followed_are_named() {
        let specs = network(1_700_000_000_000);
        assert_eq!(unfollowed(&specs[1], &[]), ["alpha", "gamma"]);
    }
}
