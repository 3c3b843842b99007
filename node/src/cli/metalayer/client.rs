//! The chains a command can reach, and calls to them.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use eyre::{WrapErr, bail, eyre};
use jsonrpsee::core::client::{ClientT, Error as ClientError};
use jsonrpsee::http_client::{HttpClient, HttpClientBuilder};
use serde_json::Value;

use crate::cli::devnet::default_dir;
use crate::exit::{Exit, ExitError};

/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the members answer.
#[derive(Debug, Args)]
pub(super) struct Reach {
    /// Directory of the devnet whose chains are meant.
    #[arg(long, env = "CAUSEWAY_DEVNET", global = true)]
    datadir: Option<PathBuf>,
    /// A chain and its JSON-RPC, as alpha=http://127.0.0.1:8545; may be repeated, for the same
    /// name too. Instead of a devnet.
    #[arg(long = "rpc", value_name = "NAME=URL", global = true)]
    rpc: Vec<String>,
}

/// Why a call gave no result.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum CallError {
    /// Nobody answered.
    Unreachable(String),
    /// The node's error object.
    Refused {
        /// JSON-RPC code.
        code: i32,
        /// Its text.
        message: String,
        /// Its data, such as what a call reverted with.
        data: Option<Value>,
    },
}

impl CallError {
    /// In words.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Unreachable(text) => text,
            Self::Refused { message, .. } => message,
        }
    }

    /// As the end of a command.
    pub(super) fn exit(self) -> ExitError {
        let exit = match self {
            Self::Unreachable(_) => Exit::Unreachable,
            Self::Refused { .. } => Exit::Failure,
        };
        ExitError::new(exit, eyre!("{}", self.text()))
    }
}

/// One JSON-RPC endpoint.
#[derive(Debug)]
pub(super) struct Endpoint {
    /// URL.
    pub(super) url: String,
    client: HttpClient,
}

impl Endpoint {
    /// Of a URL; nothing is asked yet.
    pub(super) fn new(url: &str) -> eyre::Result<Self> {
        let client = HttpClientBuilder::default()
            .request_timeout(CALL_TIMEOUT)
            .build(url)
            .wrap_err_with(|| format!("{url} is no HTTP URL"))?;
        Ok(Self { url: url.to_owned(), client })
    }

    /// Calls a method; `params` is a list.
    pub(super) async fn call(&self, method: &str, params: Value) -> Result<Value, CallError> {
        let Value::Array(params) = params else {
            return Err(CallError::Unreachable(format!("{method}: params are no list")));
        };
        let answer: Result<Value, ClientError> = self.client.request(method, params).await;
        answer.map_err(|error| match error {
            ClientError::Call(error) => CallError::Refused {
                code: error.code(),
                message: error.message().to_owned(),
                data: error.data().and_then(|data| serde_json::from_str(data.get()).ok()),
            },
            error => CallError::Unreachable(format!(
                "{} does not answer: {error}; is the node running?",
                self.url
            )),
        })
    }
}

/// One member as the command line knows it.
#[derive(Debug)]
pub(super) struct Chain {
    /// Name.
    pub(super) name: String,
    /// Domain, if devnet.json tells it.
    pub(super) domain: Option<u32>,
    /// Its nodes, the sequencer first. Never empty.
    pub(super) endpoints: Vec<Endpoint>,
}

impl Chain {
    /// Asks its nodes in turn until one answers, be it with an error.
    pub(super) async fn call(&self, method: &str, params: Value) -> Result<Value, CallError> {
        let mut failed = CallError::Unreachable(format!("{} has no endpoint", self.name));
        for endpoint in &self.endpoints {
            match endpoint.call(method, params.clone()).await {
                Err(error @ CallError::Unreachable(_)) => failed = error,
                answer => return answer,
            }
        }
        Err(failed)
    }
}

/// All chains that can be reached. Never empty.
#[derive(Debug)]
pub(super) struct Chains(pub(super) Vec<Chain>);

impl Chains {
    /// Reads the command line, or devnet.json.
    pub(super) fn open(reach: &Reach) -> Result<Self, ExitError> {
        if !reach.rpc.is_empty() {
            return Ok(Self::from_flags(&reach.rpc)?);
        }
        let dir = match &reach.datadir {
            Some(dir) => dir.clone(),
            None => default_dir()?,
        };
        let path = dir.join("devnet.json");
        let text = std::fs::read_to_string(&path).map_err(|error| {
            let report = eyre!(
                "no devnet runs here ({}: {error}): start one with `causeway devnet --chains 2`, \
                 or name nodes with --rpc NAME=URL",
                path.display()
            );
            ExitError::new(Exit::Unreachable, report)
        })?;
        Ok(Self::from_devnet(&text).wrap_err_with(|| path.display().to_string())?)
    }

    fn from_flags(flags: &[String]) -> eyre::Result<Self> {
        let mut chains: Vec<Chain> = Vec::new();
        for flag in flags {
            let Some((name, url)) = flag.split_once('=').filter(|(name, _)| !name.is_empty())
            else {
                bail!("--rpc {flag}: give a name and a URL, as alpha=http://127.0.0.1:8545");
            };
            let endpoint = Endpoint::new(url)?;
            match chains.iter_mut().find(|chain| chain.name == name) {
                Some(chain) => chain.endpoints.push(endpoint),
                None => chains.push(Chain {
                    name: name.to_owned(),
                    domain: None,
                    endpoints: vec![endpoint],
                }),
            }
        }
        Ok(Self(chains))
    }

    /// Reads what it knows of devnet.json, and leaves the rest.
    pub(super) fn from_devnet(text: &str) -> eyre::Result<Self> {
        let file: Value = serde_json::from_str(text)?;
        let mut chains = Vec::new();
        for chain in file["chains"].as_array().into_iter().flatten() {
            let mut endpoints = Vec::new();
            for url in ["rpc", "full_rpc"].iter().filter_map(|field| chain[*field].as_str()) {
                endpoints.push(Endpoint::new(url)?);
            }
            let domain = chain["domain"].as_u64().or_else(|| chain["chain_id"].as_u64());
            let Some(name) = chain["name"].as_str().filter(|_| !endpoints.is_empty()) else {
                continue;
            };
            let domain = domain.and_then(|domain| u32::try_from(domain).ok());
            chains.push(Chain { name: name.to_owned(), domain, endpoints });
        }
        if chains.is_empty() {
            bail!("names no chain that answers");
        }
        Ok(Self(chains))
    }

    /// A chain by name, or by domain if it is known.
    pub(super) fn find(&self, wanted: &str) -> eyre::Result<&Chain> {
        let domain = domain_of(wanted);
        let found = self
            .0
            .iter()
            .find(|chain| chain.name == wanted || (domain.is_some() && chain.domain == domain));
        found.ok_or_else(|| {
            let known: Vec<_> = self.0.iter().map(|chain| chain.name.as_str()).collect();
            eyre!("no chain {wanted:?} can be reached: known are {}", known.join(", "))
        })
    }
}

/// A domain as people write it: decimal or hex.
pub(super) fn domain_of(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Domain of a member that a chain's directory names.
pub(super) fn member_domain(directory: &Value, wanted: &str) -> eyre::Result<u32> {
    let members = directory["members"].as_array().map_or(&[][..], Vec::as_slice);
    let domain = domain_of(wanted).map(u64::from);
    let found = members.iter().find(|member| {
        member["name"] == wanted || (domain.is_some() && member["domain"].as_u64() == domain)
    });
    let found = found.and_then(|member| member["domain"].as_u64());
    found.and_then(|domain| u32::try_from(domain).ok()).ok_or_else(|| {
        let names: Vec<_> = members.iter().filter_map(|member| member["name"].as_str()).collect();
        eyre!("no member {wanted:?} in the directory: members are {}", names.join(", "))
    })
}
