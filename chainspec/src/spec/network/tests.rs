//! The seed of a network: what is read, refused and written again, and who is in it.

use super::*;
use crate::spec::presets::{Keys, NetworkFiles, NetworkTemplate};
use crate::spec::{ChainSpec, Issue, Severity};

fn files() -> NetworkFiles {
    let members = [("alpha", 901, "evm", false), ("beta", 902, "evm", true)];
    let template = NetworkTemplate::devnet(&members, FILE_NAME, Keys::DEV, 1_700_000_000_000);
    template.files(&Inputs::NONE).unwrap_or_else(|invalid| panic!("{invalid}"))
}

fn with_seed(chain: &str, seed: &str) -> Result<(ChainSpec, Vec<Issue>), Invalid> {
    let read = |name: &str| match name {
        FILE_NAME => Ok(seed.as_bytes().to_vec()),
        other => Err(format!("no {other}")),
    };
    crate::spec::parse(chain, &Inputs { read: &read, ..Inputs::NONE })
}

/// A member of a network of two: the hub `alpha`, or `beta`, which has the hub's coin.
pub(in crate::spec) fn member(name: &str) -> ChainSpec {
    let files = files();
    let at = usize::from(name == "beta");
    with_seed(&files.chains[at], &files.metalayer).unwrap().0
}

/// Codes, files and paths of the errors of `beta` after changes of its texts.
fn errors(chain: [&str; 2], seed: [&str; 2]) -> Vec<(&'static str, Option<String>, String)> {
    let files = files();
    let edit = |text: &str, [from, to]: [&str; 2]| {
        assert!(from.is_empty() || text.contains(from), "{from} is not in\n{text}");
        if from.is_empty() { text.to_owned() } else { text.replacen(from, to, 1) }
    };
    let (chain, seed) = (edit(&files.chains[1], chain), edit(&files.metalayer, seed));
    let issues = with_seed(&chain, &seed).unwrap_err().issues;
    let errors = issues.into_iter().filter(|issue| issue.severity == Severity::Error);
    errors.map(|issue| (issue.code, issue.file, issue.path)).collect()
}

#[track_caller]
fn refused_seed(from: &str, to: &str, code: &'static str, path: &str) {
    let expected = (code, Some(FILE_NAME.to_owned()), path.to_owned());
    assert_eq!(errors(["", ""], [from, to]), [expected]);
}

#[track_caller]
fn refused_chain(from: &str, to: &str, code: &'static str, path: &str) {
    assert_eq!(errors([from, to], ["", ""]), [(code, None, path.to_owned())]);
}

#[test]
fn a_seed_reads_back_as_it_was_written() {
    let seed = parse(&files().metalayer).unwrap();
    assert_eq!((seed.network.as_str(), seed.hub, seed.members.len()), ("devnet", 901, 2));
    assert_eq!(parse(&seed.to_toml()), Ok(seed.clone()));
    assert_eq!(seed.to_toml(), files().metalayer);
    assert_eq!(parse(&seed.to_toml()).unwrap().hash(), seed.hash());
}

#[test]
fn the_effective_spec_of_a_member_holds_the_seed() {
    for name in ["alpha", "beta"] {
        let spec = member(name);
        let shown = spec.to_toml();
        let again = crate::spec::tests::read(&shown);
        assert_eq!(again.identity(), spec.identity());
        assert_eq!(again.metalayer, spec.metalayer);
        assert_eq!(again.to_toml(), shown);
        assert_eq!(spec.to_json()["metalayer"]["seed"]["hub"], "alpha");
    }
}

#[test]
fn every_mistake_of_a_seed_is_told_with_its_place() {
    refused_seed("version = 1", "version = 2", "CS0009", "version");
    refused_seed("version = 1\n", "", "CS0005", "version");
    refused_seed("network = \"devnet\"", "network = \"Dev net\"", "CS0071", "network");
    refused_seed("governance = \"0x9", "governance = \"0x8", "CS0004", "governance");
    refused_seed("max_lag = \"10m\"", "max_lag = \"29s\"", "CS0071", "max_lag");
    refused_seed("max_lag", "max_lagg", "CS0002", "max_lagg");
    refused_seed("hub = \"alpha\"", "hub = \"alfa\"", "CS0071", "hub");
    refused_seed("name = \"beta\"", "name = \"alpha\"", "CS0071", "members[1].name");
    refused_seed("domain = 902", "domain = 900", "CS0071", "members[1].domain");
    refused_seed("domain = 902", "domain = 0", "CS0071", "members[1].domain");
    refused_seed("base = \"0x", "base = \"0xz", "CS0004", "members[0].base");
    refused_seed("amount = \"10000 ether\"", "amount = 0", "CS0072", "transfers[0].amount");
    refused_seed("to = \"beta\"", "to = \"alpha\"", "CS0072", "transfers[0].to");
    refused_seed("to = \"beta\"", "to = \"betta\"", "CS0071", "transfers[0].to");
    let much = format!("amount = \"0x1{}\"", "0".repeat(32));
    refused_seed("amount = \"10000 ether\"", &much, "CS0072", "transfers");
    refused_seed("[[members]]", "[members", "CS0001", "");
}

#[test]
fn all_mistakes_of_both_files_are_told_at_once() {
    let found = errors(["vm = \"evm\"", "vmm = \"evm\""], ["max_lag", "lag"]);
    let expected = [
        ("CS0002", None, "execution.vmm".to_owned()),
        ("CS0002", Some(FILE_NAME.to_owned()), "lag".to_owned()),
    ];
    assert_eq!(found, expected);
    let files = files();
    let invalid = with_seed(&files.chains[1], &files.metalayer.replace("hub = ", "hubb = "));
    let invalid = invalid.unwrap_err();
    let typo = invalid.issues.iter().find(|issue| issue.path == "hubb").unwrap();
    assert_eq!(typo.line, Some(6), "the line is of the file it is in");
    assert!(
        invalid.to_string().contains("metalayer.toml line 6:1 hubb: unknown field"),
        "{invalid}"
    );
    assert!(typo.reason.contains("did you mean \"hub\""), "{}", typo.reason);
}

#[test]
fn membership_is_checked() {
    let coin = "coin = \"hub\"";
    refused_chain(coin, "coin = \"her\"", "CS0004", "metalayer.coin");
    refused_chain("ttl = \"24h\"", "ttl = \"59s\"", "CS0070", "metalayer.ttl");
    refused_chain("ttl = \"24h\"", "ttl = \"60001ms\"", "CS0070", "metalayer.ttl");
    refused_chain(FILE_NAME, "other.toml", "CS0006", "metalayer.directory");
    let funds = format!("[genesis.alloc]\n\"0x{:040x}\" = {{ balance = 1 }}\n", 0xb1);
    let all = format!("{}{funds}", files().chains[1]);
    let found = with_seed(&all, &files().metalayer).unwrap_err().issues;
    assert_eq!((found[0].code, found[0].path.as_str()), ("CS0070", "genesis.alloc"));
    refused_chain("gas_limit = \"60M\"", "gas_limit = \"4M\"", "CS0030", "execution.gas_limit");
    let hub = files().chains[0].replace("coin = \"own\"", coin);
    let found = with_seed(&hub, &files().metalayer).unwrap_err().issues;
    assert_eq!((found[0].code, found[0].path.as_str()), ("CS0070", "metalayer.coin"));
    assert_eq!(
        errors(["enabled = true", "enabled = false"], ["", ""])
            .into_iter()
            .map(|(code, _, path)| (code, path))
            .collect::<Vec<_>>(),
        ["coin", "ttl", "directory"].map(|field| ("CS0070", format!("metalayer.{field}")))
    );
}

#[test]
fn a_chain_that_the_seed_does_not_have_as_it_is_is_refused() {
    let listed = |path: &str| ("CS0073", Some(FILE_NAME.to_owned()), path.to_owned());
    let rules = ["window = \"10m\"", "window = \"9m\""];
    assert_eq!(errors(rules, ["", ""]), [listed("members[1].rules")]);
    let both = [listed("members[1].base"), listed("members[1].rules")];
    assert_eq!(errors(["ttl = \"24h\"", "ttl = \"23h\""], ["", ""]), both);
    assert_eq!(errors(["chain_id = 902", "chain_id = 904"], ["", ""]), [listed("members")]);
    let files = files();
    let changed = files.chains[1].replace("ttl = \"24h\"", "ttl = \"23h\"");
    let issue = with_seed(&changed, &files.metalayer).unwrap_err().issues.remove(0);
    let listed = member("beta").base_identity().to_string();
    assert!(issue.reason.contains(&listed), "{issue}");
    assert!(issue.fix.contains("base = \"0x") && !issue.fix.contains(&listed), "{issue}");
}

#[test]
fn a_network_for_others_needs_keys_of_its_own() {
    let files = files();
    let chain = files.chains[1].replace("kind = \"devnet\"", "kind = \"testnet\"");
    let issues = with_seed(&chain, &files.metalayer).unwrap_err().issues;
    for path in ["governance", "transfers[0].recipient", "transfers[9].recipient"] {
        let found = issues.iter().find(|issue| issue.path == path);
        assert_eq!(found.map(|issue| issue.code), Some("CS0080"), "{path}");
    }
    assert!(issues.iter().any(|issue| issue.path == "metalayer.enabled"), "local DA");
}

#[test]
fn limits_of_a_network_hold() {
    let mut seed = parse(&files().metalayer).unwrap();
    let transfer = seed.transfers[0].clone();
    seed.transfers = vec![transfer.clone(); MAX_TRANSFERS];
    assert!(parse(&seed.to_toml()).is_ok());
    seed.transfers.push(transfer);
    assert_eq!(parse(&seed.to_toml()).unwrap_err().issues[0].path, "transfers");
    seed.transfers.clear();
    let member = seed.members[1].clone();
    seed.members.extend((903..=964).map(|domain| SeedMember {
        name: format!("m{domain}"),
        domain,
        ..member.clone()
    }));
    assert_eq!(seed.members.len(), MAX_MEMBERS);
    assert!(parse(&seed.to_toml()).is_ok());
    seed.members.push(SeedMember { name: "last".to_owned(), domain: 965, ..member });
    assert_eq!(parse(&seed.to_toml()).unwrap_err().issues[0].path, "members");
}

#[test]
fn the_schema_names_every_field() {
    let schema = schema();
    assert_eq!(schema["properties"]["max_lag"]["format"], "duration");
    assert_eq!(schema["$defs"]["MemberFile"]["properties"]["base"]["format"], "hash");
    assert_eq!(schema["additionalProperties"], false);
    assert!(!schema.to_string().contains("\"null\""), "TOML has no null");
    let whole = crate::spec::schema();
    assert_eq!(
        whole["$defs"]["MetalayerFile"]["properties"]["seed"]["$ref"],
        "#/$defs/NetworkFile"
    );
}
