//! What a devnet tells people when it is ready.

use super::endpoints::{ChainEndpoints, Endpoints};

/// Prints it.
pub(super) fn print(endpoints: &Endpoints) {
    println!("{}", text(endpoints));
}

fn text(endpoints: &Endpoints) -> String {
    let mut lines = match &endpoints.chains[..] {
        [chain] => one(chain),
        chains => several(chains, endpoints),
    };
    lines.push(String::new());
    lines.push("Accounts, 10000 ether each (keys are public: never use them elsewhere)".to_owned());
    for account in &endpoints.accounts {
        lines.push(format!("  {}  {}", account.address, account.key));
    }
    if let (Some(chain), [from, to, ..]) = (endpoints.chains.first(), &*endpoints.accounts) {
        lines.push(String::new());
        lines.push("Try".to_owned());
        lines.push(format!(
            "  cast send --rpc-url {} --private-key {} --value 1ether {}",
            chain.rpc, from.key, to.address
        ));
        if let Some(other) = endpoints.chains.get(1) {
            lines.push(format!(
                "  causeway metalayer transfer --from {} --to {} --amount 1ether --recipient {} --key {}",
                chain.name, other.name, to.address, from.key
            ));
        }
    }
    lines.join("\n")
}

fn one(chain: &ChainEndpoints) -> Vec<String> {
    let mut lines = vec![
        format!("Chain      {}  id {}", chain.name, chain.chain_id),
        format!("Sequencer  {}  {}", chain.rpc, chain.ws),
        format!("Full node  {}  (rebuilt from DA)", chain.full_rpc),
        format!("DA         {}", chain.da),
        format!("Spec       {}", chain.spec.display()),
    ];
    if let (Some(sequencer), Some(full)) = (&chain.metrics, &chain.full_metrics) {
        lines.push(format!("Metrics    {sequencer}  {full}"));
    }
    lines
}

/// One line a chain.
fn several(chains: &[ChainEndpoints], endpoints: &Endpoints) -> Vec<String> {
    let width = |field: fn(&ChainEndpoints) -> usize| chains.iter().map(field).max().unwrap_or(0);
    let (names, vms) = (width(|chain| chain.name.len()), width(|chain| chain.vm.len()));
    let rpcs = width(|chain| chain.rpc.len());
    let mut lines = vec![format!("{} chains, one Metalayer", chains.len())];
    for chain in chains {
        let coin = match chain.coin.as_str() {
            "home" => "the hub",
            "hub" => "the hub's coin",
            _ => "a coin of its own",
        };
        lines.push(format!(
            "  {:names$}  id {}  {:vms$}  {:rpcs$}  full node {}  {coin}",
            chain.name, chain.chain_id, chain.vm, chain.rpc, chain.full_rpc
        ));
    }
    for chain in chains {
        if let (Some(sequencer), Some(full)) = (&chain.metrics, &chain.full_metrics) {
            lines.push(format!("  {:names$}  metrics {sequencer}  {full}", chain.name));
        }
    }
    if let Some(path) = &endpoints.metalayer {
        lines.push(format!("Network    {}", path.display()));
    }
    if let Some(governance) = &endpoints.governance {
        lines.push(format!("Governance {}  {}", governance.address, governance.key));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::endpoints::Account;
    use super::*;

    fn endpoints(names: &[&str]) -> Endpoints {
        let chain = |(index, name): (usize, &&str)| ChainEndpoints {
            name: (*name).to_owned(),
            chain_id: 901 + index as u64,
            domain: 901 + index as u32,
            vm: "evm".to_owned(),
            coin: if index == 0 { "home" } else { "hub" }.to_owned(),
            hub: index == 0,
            rpc: format!("http://127.0.0.1:{}", 8545 + 2 * index),
            ws: format!("ws://127.0.0.1:{}", 8545 + 2 * index),
            full_rpc: format!("http://127.0.0.1:{}", 8546 + 2 * index),
            metrics: Some(format!("http://127.0.0.1:{}/metrics", 9101 + 2 * index)),
            full_metrics: Some(format!("http://127.0.0.1:{}/metrics", 9102 + 2 * index)),
            da: "http://127.0.0.1:9000".to_owned(),
            da_layer: "local".to_owned(),
            contracts: Default::default(),
            spec: "chain.toml".into(),
        };
        let account = |at: u8| Account { address: format!("0xa{at}"), key: format!("0xb{at}") };
        Endpoints {
            pid: 1,
            chains: names.iter().enumerate().map(chain).collect(),
            accounts: vec![account(0), account(1)],
            governance: Some(account(2)),
            metalayer: Some("metalayer.toml".into()),
        }
    }

    #[test]
    fn several_chains_have_a_line_each_and_something_to_try() {
        let text = text(&endpoints(&["alpha", "beta"]));
        let beta = text.lines().find(|line| line.starts_with("  beta")).unwrap();
        for part in ["id 902", "evm", "http://127.0.0.1:8547", "http://127.0.0.1:8548"] {
            assert!(beta.contains(part), "{beta}");
        }
        let transfer = "causeway metalayer transfer --from alpha --to beta --amount 1ether \
                        --recipient 0xa1 --key 0xb0";
        assert!(text.contains(transfer), "{text}");
        assert!(text.contains("Governance 0xa2  0xb2"), "{text}");
        let metrics = "beta   metrics http://127.0.0.1:9103/metrics  http://127.0.0.1:9104/metrics";
        assert!(text.contains(metrics), "{text}");
    }

    #[test]
    fn one_chain_speaks_of_no_other() {
        let text = text(&endpoints(&["alpha"]));
        assert!(text.starts_with("Chain      alpha  id 901\nSequencer  http"), "{text}");
        assert!(!text.contains("metalayer transfer"), "{text}");
        assert!(text.contains("Metrics    http://127.0.0.1:9101/metrics  http"), "{text}");
    }
}
