//! The transactions of a deployment: which are needed, what they cost, and sending them.

use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, U256};
use causeway_bridge::l1::{Contract, DEPLOYER, Deployment};
use causeway_chainspec::l1::bridge::Bridge;
use causeway_chainspec::spec::Deployed;
use causeway_da::DaError;
use causeway_da::ethereum::{Account, Call, ParentChain, Price, Whereabouts};

/// Looks for a contract whose transaction has landed: a node may lag behind another.
const LOOKS: usize = 10;
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);

/// A contract to create.
#[derive(Debug, Clone)]
pub(in super::super) struct Step {
    pub(super) contract: &'static str,
    pub(super) address: Address,
    /// What goes to [`DEPLOYER`].
    input: Bytes,
}

impl Step {
    fn call(&self, most_wei: Option<u128>) -> Call {
        Call { to: DEPLOYER, value: U256::ZERO, input: self.input.clone(), most_wei }
    }
}

/// The steps of a deployment, in order.
pub(in super::super) fn of(bridge: &Bridge, deployment: &Deployment) -> Vec<Step> {
    let step = |(name, contract): (&'static str, &Contract)| Step {
        contract: name,
        address: contract.address,
        input: deployment.input(contract),
    };
    deployment.contracts(bridge).into_iter().map(step).collect()
}

/// How far a contract is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Not there, and nothing under way that would create it.
    Missing,
    /// A transaction of ours that creates it waits for a block.
    Waiting(B256),
    /// There; with the height that is noted.
    There(Option<u64>),
}

impl Standing {
    pub(super) fn is_there(self) -> bool {
        matches!(self, Self::There(_))
    }
}

/// Asks the parent how far each contract is.
pub(super) async fn look(
    chain: &ParentChain,
    steps: &[Step],
    deployed: &[Deployed],
) -> Result<Vec<Standing>, DaError> {
    let mut standings = Vec::with_capacity(steps.len());
    for step in steps {
        standings.push(standing(chain, step, deployed).await?);
    }
    Ok(standings)
}

async fn standing(
    chain: &ParentChain,
    step: &Step,
    deployed: &[Deployed],
) -> Result<Standing, DaError> {
    let noted = deployed.iter().find(|noted| noted.address == step.address);
    if !chain.code(step.address).await?.is_empty() {
        return Ok(Standing::There(noted.and_then(|noted| noted.height)));
    }
    let Some(tx) = noted.and_then(|noted| noted.tx) else { return Ok(Standing::Missing) };
    match chain.find(tx).await? {
        Whereabouts::Waiting => Ok(Standing::Waiting(tx)),
        // It landed since the first question.
        Whereabouts::Landed { succeeded: true, .. } => {
            arrived(chain, step).await.map(|()| Standing::There(None))
        }
        // One that failed, or is of a block that left the chain, is made anew.
        Whereabouts::Nowhere | Whereabouts::Landed { .. } => Ok(Standing::Missing),
    }
}

/// Waits until a contract is seen whose transaction has landed.
async fn arrived(chain: &ParentChain, step: &Step) -> Result<(), DaError> {
    for _ in 0..LOOKS {
        if !chain.code(step.address).await?.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
    let Step { contract, address, .. } = step;
    Err(DaError::Unavailable(format!(
        "the transaction of {contract} has landed, and a node of the parent does not see it at {address} \
         yet"
    )))
}

/// What is to be paid, and by whom.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) payer: Address,
    pub(super) balance: U256,
    /// Of each step; none for what is there.
    pub(super) prices: Vec<Option<Price>>,
}

impl Plan {
    /// What it costs by the newest block's prices.
    pub(super) fn wei(&self) -> U256 {
        self.prices.iter().flatten().map(|price| U256::from(price.wei)).sum()
    }

    /// Most that it may cost.
    pub(super) fn most_wei(&self) -> U256 {
        self.prices.iter().flatten().map(|price| U256::from(price.most_wei)).sum()
    }
}

/// Prices what is not there.
pub(super) async fn price(
    account: &Account,
    steps: &[Step],
    standings: &[Standing],
) -> Result<Plan, DaError> {
    let mut prices = Vec::with_capacity(steps.len());
    for (step, standing) in steps.iter().zip(standings) {
        prices.push(match standing {
            Standing::There(_) => None,
            Standing::Missing | Standing::Waiting(_) => {
                has_deployer(account.chain()).await?;
                let needs_another = prices.iter().any(Option::is_some);
                Some(match needs_another {
                    // A constructor looks for the contract before it, so no node can try it yet.
                    true => account.price_of(creation_gas(&step.input)).await?,
                    false => account.price(&step.call(None)).await?,
                })
            }
        });
    }
    let payer = account.address();
    Ok(Plan { payer, balance: account.chain().balance(payer).await?, prices })
}

/// About the gas of creating a contract: that of its bytes as input and as code, and what the constructor
/// writes.
fn creation_gas(input: &Bytes) -> u64 {
    const BASE: u64 = 21_000 + 32_000 + 150_000;
    const BYTE: u64 = 16 + 200;
    BASE + BYTE * input.len() as u64
}

async fn has_deployer(chain: &ParentChain) -> Result<(), DaError> {
    if chain.code(DEPLOYER).await?.is_empty() {
        return Err(DaError::Refused(format!(
            "the parent chain lacks the deterministic deployment proxy at {DEPLOYER}, which creates \
             the contracts: put it there first, as \
             https://github.com/Arachnid/deterministic-deployment-proxy says"
        )));
    }
    Ok(())
}

/// Told of what is done, before a transaction is sent and after it is in a block.
pub(in super::super) type Note<'a> = &'a (dyn Fn(&[Deployed]) -> Result<(), DaError> + Sync);

/// Creates what is missing, one after the other, each for no more than `most_wei` has in its place if
/// it is given. What `note` is told is what a later call goes on from. A transaction that waits longer
/// than the settings' patience is replaced by one that offers more, at the same nonce.
pub(in super::super) async fn deploy_all(
    account: &Account,
    steps: &[Step],
    mut deployed: Vec<Deployed>,
    most_wei: &[Option<u128>],
    note: Note<'_>,
) -> Result<Vec<Deployed>, DaError> {
    let chain = account.chain();
    for (index, step) in steps.iter().enumerate() {
        let there = match standing(chain, step, &deployed).await? {
            Standing::There(Some(_)) => continue,
            // Somebody else's doing, or ours and a crash: either way it is the right code.
            Standing::There(None) => Some(chain.height().await?),
            Standing::Waiting(tx) => match account.wait(tx).await {
                Ok(height) => Some(height),
                Err(error) if error.is_temporary() => None,
                Err(error) => return Err(error),
            },
            Standing::Missing => None,
        };
        let at = place(&mut deployed, step);
        let height = match there {
            Some(height) => height,
            None => {
                has_deployer(chain).await?;
                let sent = |tx| {
                    deployed[at] = Deployed { tx: Some(tx), height: None, ..deployed[at].clone() };
                    note(&deployed)
                };
                let most_wei = most_wei.get(index).copied().flatten();
                account.call(&step.call(most_wei), sent).await?
            }
        };
        arrived(chain, step).await?;
        deployed[at].height = Some(height);
        note(&deployed)?;
    }
    Ok(deployed)
}

/// The entry of a step, made if it is not there.
fn place(deployed: &mut Vec<Deployed>, step: &Step) -> usize {
    let found = deployed.iter().position(|noted| noted.address == step.address);
    found.unwrap_or_else(|| {
        let contract = step.contract.to_owned();
        deployed.push(Deployed { contract, address: step.address, tx: None, height: None });
        deployed.len() - 1
    })
}
