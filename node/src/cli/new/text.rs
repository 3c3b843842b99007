//! Files of a new chain that people read.

use causeway_chainspec::ChainSpec;
use causeway_da::ethereum::ParentFacts;

/// `[da]` of the settings, with a DA service of its own.
pub(super) const LOCAL_DA: &str = "
[da]
url = \"http://127.0.0.1:8550\"

# The DA service inside this process. Nodes elsewhere have only [da] url, with this machine's name.
[da_service]
listen = \"127.0.0.1:8550\"
dir = \"da\"
key = \"keys/da.key\"
";

/// `[da]` of the settings, with the nodes of a parent chain.
pub(super) fn parent_da(facts: &ParentFacts, rpc: &str, beacon: Option<&str>) -> String {
    let quoted = |url: &str| toml::Value::String(url.to_owned()).to_string();
    let beacon = match beacon {
        Some(url) => format!("beacon = [{}]", quoted(url)),
        None if facts.is_anvil => "# beacon = []  # anvil answers for blobs itself".to_owned(),
        None => "beacon = []  # consensus nodes: without one, blobs cannot be read".to_owned(),
    };
    let roots = match facts.is_anvil {
        true => "trust_roots = \"development\"  # anvil computes them in its own way\n",
        false => "",
    };
    format!(
        "
# The parent chain (docs/ethereum.md). The account of the key pays for contracts and for posts.
[da]
rpc = [{}]
{beacon}
key = \"keys/l1.key\"
archive = \"blobs\"  # keeps blobs that the parent forgets
{roots}
# Says on the parent what the state of the chain is. Its account pays for that: send it funds, too.
[proposer]
key = \"keys/proposer.key\"
every = \"10m\"
",
        quoted(rpc)
    )
}

/// The whole `node.toml`, with its `[da]`.
pub(super) fn node_toml(da: &str) -> String {
    format!(
        "# Settings of this node alone; nothing here can fork the chain (that is chain.toml).
role = \"sequencer\"
http = \"127.0.0.1:8545\"
{da}
[keys]
sequencer = \"keys/sequencer.key\"
poster = \"keys/poster.key\"
"
    )
}

/// What the directory tells people.
pub(super) fn readme(spec: &ChainSpec) -> String {
    let (name, id, identity) = (&spec.name, spec.chain_id, spec.identity());
    let (settings, deploy, owner) = match spec.da.is_parent_chain() {
        true => (
            "never: it has addresses of nodes, and those may hold keys",
            "    causeway deploy apply        # the contracts on the parent chain, first\n",
            " `owner.key` may change all of them by the system config, and belongs \
             elsewhere; `l1.key` is\nof the account that pays on the parent chain.",
        ),
        false => ("as an example", "", ""),
    };
    format!(
        "# {name}

Chain id {id}, identity `{identity}`.

| File | What it is | Share it? |
|---|---|---|
| `chain.toml` | what all nodes must agree on | yes |
| `chain.lock` | block 0 and what was deployed, written by causeway | yes |
| `node.toml` | settings of this node | {settings} |
| `keys/` | private keys, as hex | never |

    causeway chainspec check     # after every edit of chain.toml
{deploy}    causeway run                 # in this directory

Back up `keys/`: without the sequencer's key nobody can build blocks, without the poster's nobody
can post them.{owner}
"
    )
}
