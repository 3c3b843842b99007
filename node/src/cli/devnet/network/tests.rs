//! Devnets of one and several chains as files.

use tempfile::TempDir;

use super::*;

const NOW: u64 = 1_700_000_000_000;

fn asked(chains: u8, vms: &str, coins: &[CoinChoice]) -> Choices {
    let vms = vms.split(',').filter(|vm| !vm.is_empty()).map(str::to_owned).collect();
    Choices { chains: Some(chains), vms, coins: coins.to_vec(), ..Choices::default() }
}

fn opened(dir: &TempDir, choices: &Choices) -> Vec<Member> {
    open(dir.path(), choices, None, NOW).unwrap_or_else(|error| panic!("{:?}", error.report))
}

fn refused(dir: &TempDir, choices: &Choices) -> String {
    match open(dir.path(), choices, None, NOW) {
        Ok(_) => panic!("{choices:?} was accepted"),
        Err(error) => {
            assert_eq!(error.exit, Exit::Spec);
            format!("{:?}", error.report)
        }
    }
}

#[test]
fn chains_have_what_was_asked_for_and_go_on_without_flags() {
    let dir = TempDir::new().unwrap();
    let choices = asked(4, "evm,evm,ledger", &[CoinChoice::Own, CoinChoice::Hub]);
    let members = opened(&dir, &choices);
    let names: Vec<_> = members.iter().map(|member| member.name).collect();
    assert_eq!(names, ["alpha", "beta", "gamma", "delta"]);
    let ids: Vec<_> = members.iter().map(|member| member.spec.chain_id).collect();
    assert_eq!(ids, [901, 902, 903, 904]);
    let vms: Vec<_> = members.iter().map(|member| member.spec.vm.as_str()).collect();
    assert_eq!(vms, ["evm", "evm", "ledger", "ledger"]);
    let coins: Vec<_> = members.iter().map(|member| member.spec.metalayer.coin).collect();
    assert_eq!(coins, [Coin::Home, Coin::Own, Coin::Hub, Coin::Hub]);
    let symbols: Vec<_> = members.iter().map(|member| member.spec.token.symbol.as_str()).collect();
    assert_eq!(symbols, ["ERA", "ETH", "ERA", "ERA"]);
    assert!(dir.path().join("metalayer.toml").exists());

    let again =
        open(dir.path(), &Choices::default(), None, NOW + 1).unwrap_or_else(|_| panic!("again"));
    let identities = |members: &[Member]| -> Vec<_> {
        members.iter().map(|member| member.spec.identity()).collect()
    };
    assert_eq!(identities(&again), identities(&members));
    assert_eq!(opened(&dir, &choices).len(), 4, "the same flags again");
}

#[test]
fn another_devnet_than_the_one_there_is_refused() {
    let dir = TempDir::new().unwrap();
    opened(&dir, &asked(2, "", &[]));
    for other in [
        asked(3, "", &[]),
        asked(1, "", &[]),
        asked(2, "ledger", &[]),
        asked(2, "evm,ledger", &[]),
        asked(2, "", &[CoinChoice::Own]),
        Choices { chain_id: Some(902), ..Choices::default() },
        Choices { block_time: Some("1s".to_owned()), ..Choices::default() },
        Choices { preset: Some(Preset::LowLatency), ..Choices::default() },
    ] {
        let said = refused(&dir, &other);
        assert!(
            said.contains("--fresh") && said.contains("beta (vm evm, da local, chain id 902"),
            "{said}"
        );
    }
    assert_eq!(opened(&dir, &asked(2, "evm", &[CoinChoice::Hub])).len(), 2);
}

#[test]
fn one_chain_is_a_chain_of_its_own() {
    let dir = TempDir::new().unwrap();
    let choices =
        Choices { chain_id: Some(7), vms: vec!["ledger".to_owned()], ..Choices::default() };
    let members = opened(&dir, &choices);
    assert_eq!(members.len(), 1);
    let spec = &members[0].spec;
    assert_eq!((spec.chain_id, spec.vm.as_str(), spec.metalayer.enabled), (7, "ledger", false));
    assert!(!dir.path().join("metalayer.toml").exists());
    assert!(dir.path().join("alpha/chain.toml").exists());
}

#[test]
fn what_cannot_be_is_refused_and_leaves_nothing() {
    let dir = TempDir::new().unwrap();
    assert!(refused(&dir, &asked(2, "evm,evn", &[])).contains("did you mean \"evm\""));
    assert!(refused(&dir, &asked(1, "evn", &[])).contains("did you mean \"evm\""));
    let said = refused(&dir, &asked(1, "evm,ledger", &[]));
    assert!(said.contains("add --chains 2"), "{said}");
    let said = refused(&dir, &asked(1, "", &[CoinChoice::Own]));
    assert!(said.contains("add --chains 2"), "{said}");
    let far = Choices { chain_id: Some(u64::from(u32::MAX)), ..asked(2, "", &[]) };
    refused(&dir, &far);
    assert!(!dir.path().join("alpha").exists());
}

#[test]
fn clearing_deletes_what_a_devnet_wrote_and_nothing_else() {
    let dir = TempDir::new().unwrap();
    let members = opened(&dir, &asked(3, "", &[]));
    let at = |path: &str| dir.path().join(path);
    for path in ["alpha/da", "alpha/sequencer", "beta/full", "remotes/beta", "full", "gamma/own"] {
        std::fs::create_dir_all(at(path)).unwrap();
    }
    for path in ["chain.toml", "devnet.json", "notes.txt", "beta/full/log"] {
        std::fs::write(at(path), "x").unwrap();
    }
    assert!(members.iter().all(|member| member.dir.exists()));
    clear(dir.path()).unwrap();
    let mut left: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["gamma", "notes.txt"]);
    assert!(at("gamma/own").exists() && !at("gamma/chain.toml").exists());
    clear(dir.path()).unwrap();
}

#[test]
fn the_directory_of_an_older_version_is_not_taken_for_a_new_one() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("chain.toml"), "version = 1").unwrap();
    assert!(refused(&dir, &Choices::default()).contains("--fresh"));
}
