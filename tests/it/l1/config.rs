//! The system config: who may replace which keys, and how that is told.

use alloy_primitives::{Address, LogData, U256, b256, bytes};
use alloy_sol_types::{SolEvent, SolValue};
use causeway_bridge::l1::{self, Deployment, Terms};
use eyre::ensure;

use super::{POSTERS, Parent, SEQUENCERS, account, terms, word};

const OWNER: usize = 1;
const OTHER: usize = 2;

fn key(byte: u8) -> Address {
    Address::repeat_byte(byte)
}

/// So many different keys.
fn keys(count: u8) -> Vec<Address> {
    (1..=count).map(key).collect()
}

fn update(kind: u8, keys: &[Address]) -> LogData {
    let data = keys.to_vec().abi_encode().into();
    l1::ConfigUpdate { version: U256::ZERO, updateType: kind, data }.encode_log_data()
}

fn config(deployment: &Deployment) -> &l1::Contract {
    &deployment.system_config
}

/// The terms with other keys of one kind.
fn with(posters: bool, keys: &[Address]) -> Terms<'_> {
    if posters { Terms { posters: keys, ..terms() } } else { Terms { sequencers: keys, ..terms() } }
}

impl Parent {
    /// Posters and sequencers as the contract has them.
    async fn keys(&self) -> eyre::Result<(Vec<Address>, Vec<Address>)> {
        let posters = self.ask(self.config(), l1::postersCall {}).await?;
        Ok((posters, self.ask(self.config(), l1::sequencersCall {}).await?))
    }

    /// Owner, and who may become it.
    async fn owners(&self) -> eyre::Result<(Address, Address)> {
        let owner = self.ask(self.config(), l1::ownerCall {}).await?;
        Ok((owner, self.ask(self.config(), l1::pendingOwnerCall {}).await?))
    }
}

#[tokio::test]
async fn the_first_keys_are_stored_and_not_told() -> eyre::Result<()> {
    let parent = Parent::start().await?;
    ensure!(parent.keys().await? == (POSTERS.to_vec(), SEQUENCERS.to_vec()));
    ensure!(parent.owners().await? == (account(OWNER), Address::ZERO));
    ensure!(parent.ask(parent.config(), l1::versionCall {}).await? == "1.1.0");
    let (posters, sequencers) = (keys(16), keys(16));
    let most = Terms { posters: &posters, sequencers: &sequencers, ..terms() };
    let deployment = Deployment::new(&most);
    let done = parent.deploy(&deployment, config(&deployment)).await?;
    let (previous, owner) = (Address::ZERO, account(OWNER));
    let told = l1::OwnershipTransferred { previousOwner: previous, newOwner: owner };
    let expected = (deployment.system_config.address, told.encode_log_data());
    ensure!(done.logs == [expected], "{:?}", done.logs);
    Ok(())
}

#[tokio::test]
async fn the_first_keys_are_bounded() -> eyre::Result<()> {
    let parent = Parent::start().await?;
    let ownerless = Terms { owner: Address::ZERO, ..terms() };
    parent.refuses_terms(&ownerless, config, l1::OwnerZero {}).await?;
    let many = keys(17);
    let zero = [key(1), Address::ZERO];
    let twice = [key(1), key(2), key(1)];
    for posters in [true, false] {
        parent.refuses_terms(&with(posters, &[]), config, l1::KeysEmpty {}).await?;
        let error = l1::TooManyKeys { count: U256::from(17), most: U256::from(16) };
        parent.refuses_terms(&with(posters, &many), config, error).await?;
        let error = l1::KeyZero { index: U256::from(1) };
        parent.refuses_terms(&with(posters, &zero), config, error).await?;
        parent.refuses_terms(&with(posters, &twice), config, l1::KeyTwice { key: key(1) }).await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_owner_replaces_keys_within_bounds() -> eyre::Result<()> {
    let parent = Parent::start().await?;
    let path = (account(OWNER), parent.config());
    let set_posters = |keys: &[Address]| l1::setPostersCall { keys: keys.to_vec() };
    let set_sequencers = |keys: &[Address]| l1::setSequencersCall { keys: keys.to_vec() };
    // More, fewer, in another order: the list is always the last one, whole.
    let lists = [keys(1), keys(16), vec![key(9), key(3)], vec![key(3), key(9)]];
    for list in &lists {
        parent.emits(path, set_posters(list), &[update(0, list)]).await?;
        ensure!(parent.keys().await? == (list.clone(), SEQUENCERS.to_vec()));
    }
    for list in &lists {
        parent.emits(path, set_sequencers(list), &[update(3, list)]).await?;
        ensure!(parent.keys().await? == (lists[3].clone(), list.clone()));
    }
    parent.refuses(path, set_posters(&[]), l1::KeysEmpty {}).await?;
    parent.refuses(path, set_sequencers(&[]), l1::KeysEmpty {}).await?;
    let error = || l1::TooManyKeys { count: U256::from(17), most: U256::from(16) };
    parent.refuses(path, set_posters(&keys(17)), error()).await?;
    parent.refuses(path, set_sequencers(&keys(17)), error()).await?;
    for index in [0, 1, 15] {
        let mut list = keys(16);
        list[index] = Address::ZERO;
        let error = || l1::KeyZero { index: U256::from(index) };
        parent.refuses(path, set_posters(&list), error()).await?;
        parent.refuses(path, set_sequencers(&list), error()).await?;
    }
    for (first, second) in [(0, 1), (0, 15), (14, 15)] {
        let mut list = keys(16);
        list[second] = list[first];
        let error = || l1::KeyTwice { key: list[first] };
        parent.refuses(path, set_posters(&list), error()).await?;
        parent.refuses(path, set_sequencers(&list), error()).await?;
    }
    let stranger = (account(OTHER), parent.config());
    let error = || l1::OnlyOwner { caller: account(OTHER) };
    parent.refuses(stranger, set_posters(&keys(1)), error()).await?;
    parent.refuses(stranger, set_sequencers(&keys(1)), error()).await?;
    ensure!(parent.keys().await? == (lists[3].clone(), lists[3].clone()));
    Ok(())
}

/// As it lies in a receipt: written by hand.
#[tokio::test]
async fn an_update_is_golden() -> eyre::Result<()> {
    let parent = Parent::start().await?;
    let path = (account(OWNER), parent.config());
    // The topic by which OP's tools know it.
    let signature = b256!("1d2b0bda21d56b8bd12d4f94ebacffdfb35f5e226f84b461103bb8beab6353be");
    let data = bytes!(
        "0000000000000000000000000000000000000000000000000000000000000020"
        "0000000000000000000000000000000000000000000000000000000000000080"
        "0000000000000000000000000000000000000000000000000000000000000020"
        "0000000000000000000000000000000000000000000000000000000000000002"
        "0000000000000000000000000101010101010101010101010101010101010101"
        "0000000000000000000000000202020202020202020202020202020202020202"
    );
    let log = |kind| LogData::new_unchecked(vec![signature, word(0), word(kind)], data.clone());
    parent.emits(path, l1::setPostersCall { keys: keys(2) }, &[log(0)]).await?;
    parent.emits(path, l1::setSequencersCall { keys: keys(2) }, &[log(3)]).await
}

#[tokio::test]
async fn ownership_passes_in_two_steps() -> eyre::Result<()> {
    let parent = Parent::start().await?;
    let (owner, other, third, to) = (account(OWNER), account(OTHER), account(3), parent.config());
    let name = |new: Address| l1::transferOwnershipCall { newOwner: new };
    let started = |new: Address| {
        l1::OwnershipTransferStarted { previousOwner: owner, newOwner: new }.encode_log_data()
    };
    let replace = || l1::setPostersCall { keys: keys(3) };
    let accept = || l1::acceptOwnershipCall {};
    let nobody = |caller| l1::OnlyPendingOwner { caller };

    parent.refuses((other, to), name(other), l1::OnlyOwner { caller: other }).await?;
    for caller in [owner, other] {
        parent.refuses((caller, to), accept(), nobody(caller)).await?;
    }
    // The last who was named may accept, and nobody after zero was.
    parent.emits((owner, to), name(third), &[started(third)]).await?;
    parent.emits((owner, to), name(Address::ZERO), &[started(Address::ZERO)]).await?;
    parent.refuses((third, to), accept(), nobody(third)).await?;
    parent.emits((owner, to), name(third), &[started(third)]).await?;
    parent.emits((owner, to), name(other), &[started(other)]).await?;
    parent.refuses((third, to), accept(), nobody(third)).await?;
    ensure!(parent.owners().await? == (owner, other));
    // Until then nothing changes.
    parent.refuses((other, to), replace(), l1::OnlyOwner { caller: other }).await?;
    parent.emits((owner, to), replace(), &[update(0, &keys(3))]).await?;

    let passed = l1::OwnershipTransferred { previousOwner: owner, newOwner: other };
    parent.emits((other, to), accept(), &[passed.encode_log_data()]).await?;
    ensure!(parent.owners().await? == (other, Address::ZERO));
    parent.emits((other, to), replace(), &[update(0, &keys(3))]).await?;
    parent.refuses((owner, to), replace(), l1::OnlyOwner { caller: owner }).await?;
    parent.refuses((owner, to), name(owner), l1::OnlyOwner { caller: owner }).await?;
    parent.refuses((other, to), accept(), nobody(other)).await
}
