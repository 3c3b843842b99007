//! Several chains in one process, members of one Metalayer: each with a DA layer, a sequencer and a
//! full node of its own; sequencers share one set of followers, full nodes another.

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_sol_types::SolCall;
use causeway_bridge::metalayer::view;
use causeway_chainspec::mailbox::{
    Coin, MAILBOX, dispatchWithCall, quoteDispatchWithCall, quoteTransferCall,
    transferRemoteWithCall, word_of,
};
use causeway_chainspec::spec::presets::{Keys, NetworkTemplate, NewMember};
use causeway_chainspec::spec::{Inputs, parse};
use causeway_chainspec::{Block, ChainSpec, LaneItem, StateReader};
use causeway_consensus::ChainError;
use causeway_execution::Call;
use causeway_node::config::Role;
use causeway_node::node::Node;
use causeway_node::remote::{RemoteSettings, Remotes};
use eyre::{ContextCompat, ensure, eyre};
use tempfile::TempDir;

use crate::clock::ManualClock;
use crate::drive::{holds, reopen};
use crate::keys;
use crate::txs::{Draft, Form};
use crate::world::{GENESIS_MS, World};

/// A member: its surroundings, and its two nodes.
pub struct Member {
    /// Spec, DA layer and directories.
    pub world: World,
    /// Builds.
    pub sequencer: Arc<Node>,
    /// Lives from DA.
    pub full: Arc<Node>,
}

/// The chains, in the order of the network; the first is the hub.
pub struct Mesh {
    /// Members.
    pub members: Vec<Member>,
    /// Time of all.
    pub clock: Arc<ManualClock>,
    /// Followers of the sequencers' process, and of the full nodes'.
    pub remotes: [Arc<Remotes>; 2],
    dir: TempDir,
}

/// The usual three: an EVM hub, an EVM chain with a coin of its own, a ledger chain.
pub const THREE: [NewMember<'static>; 3] =
    [("alpha", 901, "evm", true), ("beta", 902, "evm", false), ("gamma", 903, "ledger", true)];

/// The specs of a network with short clocks.
pub fn specs(members: &[NewMember<'_>]) -> eyre::Result<Vec<Arc<ChainSpec>>> {
    let mut template = NetworkTemplate::devnet(members, "metalayer.toml", Keys::DEV, GENESIS_MS);
    for chain in &mut template.chains {
        chain.window = "120s".into();
    }
    template.max_lag_ms = 400_000;
    let files = template.files(&Inputs::NONE).map_err(|invalid| eyre!("network: {invalid}"))?;
    let read = |_: &str| Ok(files.metalayer.clone().into_bytes());
    let inputs = Inputs { read: &read, ..Inputs::NONE };
    let parsed = files.chains.iter().map(|text| parse(text, &inputs));
    let specs = parsed.map(|spec| spec.map(|(spec, _)| Arc::new(spec)));
    specs.collect::<Result<_, _>>().map_err(|invalid| eyre!("spec: {invalid}"))
}

impl Mesh {
    /// A network whose DA layers hold a block for final under so many others.
    pub fn new(members: &[NewMember<'_>], final_depth: u64) -> eyre::Result<Self> {
        let (clock, dir) = (Arc::new(ManualClock::new(GENESIS_MS + 1000)), TempDir::new()?);
        let specs = specs(members)?;
        let worlds = specs.into_iter().map(|spec| World::of(spec, clock.clone(), final_depth));
        let mut worlds: Vec<World> = worlds.collect::<Result<_, _>>()?;
        let remotes = [open_remotes(&worlds, &dir, 0)?, open_remotes(&worlds, &dir, 1)?];
        let mut members = Vec::new();
        for mut world in worlds.drain(..) {
            world.remotes = remotes[0].clone();
            let sequencer = world.open("sequencer", Role::Sequencer)?;
            world.remotes = remotes[1].clone();
            let full = world.open("full", Role::Full)?;
            members.push(Member { world, sequencer, full });
        }
        Ok(Self { members, clock, remotes, dir })
    }

    /// A started network: what the seed sends has arrived and is settled everywhere.
    pub async fn started(members: &[NewMember<'_>], final_depth: u64) -> eyre::Result<Self> {
        let mesh = Self::new(members, final_depth)?;
        for at in 0..members.len() {
            mesh.da_block(at).await?;
        }
        for _ in 0..2 + 3 * (final_depth + 1) {
            mesh.round().await?;
        }
        Ok(mesh)
    }

    /// A further set of followers over the same DA layers, with data of its own.
    pub fn more_remotes(&self, name: usize) -> eyre::Result<Arc<Remotes>> {
        let settings = self.members.iter().map(|member| remote(&member.world, &self.dir, name));
        let clock = self.clock.clone();
        Ok(Remotes::open(settings.collect(), clock, 8 << 20)?)
    }

    /// One block on a chain; most have something in them only if something waits.
    pub async fn build(&self, at: usize) -> Result<Arc<Block>, ChainError> {
        let member = &self.members[at];
        member.world.build(&member.sequencer).await
    }

    /// Posts what a chain has, makes its next DA block, and lets its nodes and followers read it.
    pub async fn publish(&self, at: usize) -> eyre::Result<()> {
        let Member { world, sequencer, .. } = &self.members[at];
        let heads = *sequencer.heads().borrow();
        if heads.latest.number > heads.safe.number {
            world.post(sequencer).await?;
        }
        self.da_block(at).await
    }

    /// The next DA block of a chain, read by its nodes and followers.
    pub async fn da_block(&self, at: usize) -> eyre::Result<()> {
        let Member { world, sequencer, full } = &self.members[at];
        world.da_block();
        world.sync(sequencer).await?;
        world.sync(full).await?;
        self.follow(at).await
    }

    /// Lets the followers of a chain read what is final.
    pub async fn follow(&self, at: usize) -> eyre::Result<()> {
        let world = &self.members[at].world;
        for remotes in &self.remotes {
            let follower = remotes.get(world.spec.metalayer.domain).context("a follower")?;
            world.sync(follower).await?;
        }
        Ok(())
    }

    /// Moves every verified head as far as it goes.
    pub fn verify(&self) -> eyre::Result<()> {
        loop {
            let mut moved = false;
            for (remotes, of) in self.remotes.iter().zip(0..) {
                for member in &self.members {
                    let domain = member.world.spec.metalayer.domain;
                    let follower = remotes.get(domain).context("a follower")?;
                    let node = if of == 0 { &member.sequencer } else { &member.full };
                    moved |= follower.advance_verified(remotes)?;
                    moved |= node.advance_verified(remotes)?;
                }
            }
            if !moved {
                return Ok(());
            }
        }
    }

    /// Every chain builds a block and publishes it; then all heads move.
    pub async fn round(&self) -> eyre::Result<()> {
        for at in 0..self.members.len() {
            self.build(at).await?;
            self.publish(at).await?;
            self.verify()?;
        }
        for member in &self.members {
            holds(&member.sequencer);
            holds(&member.full);
        }
        Ok(())
    }

    /// As many rounds.
    pub async fn rounds(&self, count: usize) -> eyre::Result<()> {
        for _ in 0..count {
            self.round().await?;
        }
        Ok(())
    }

    /// Drops both nodes of a member and opens them again; each reads what it missed.
    pub async fn restart(&mut self, at: usize) -> eyre::Result<()> {
        let Member { mut world, sequencer, full } = self.members.remove(at);
        world.remotes = self.remotes[0].clone();
        let sequencer = reopen(&world, sequencer, "sequencer")?;
        world.remotes = self.remotes[1].clone();
        let full = reopen(&world, full, "full")?;
        world.sync(&sequencer).await?;
        world.sync(&full).await?;
        self.members.insert(at, Member { world, sequencer, full });
        self.verify()
    }

    /// State after the newest block of a chain's sequencer.
    pub fn state(&self, at: usize) -> eyre::Result<Arc<dyn StateReader>> {
        let snapshot = self.members[at].sequencer.pipeline().snapshot();
        snapshot.state(snapshot.latest().number)?.context("the newest state")
    }

    /// Balance in the gas coin.
    pub fn balance(&self, at: usize, address: Address) -> eyre::Result<U256> {
        Ok(self.state(at)?.account(address)?.map_or(U256::ZERO, |account| account.balance))
    }

    /// What a call of a contract on a chain returns now.
    pub fn call(&self, at: usize, to: Address, input: Vec<u8>) -> eyre::Result<Bytes> {
        let node = &self.members[at].sequencer;
        let snapshot = node.pipeline().snapshot();
        let env = snapshot.env(snapshot.latest().number)?.context("an environment")?;
        let call = Call {
            from: keys::accounts()[0].address(),
            to: TxKind::Call(to),
            gas_limit: 5_000_000,
            input: input.into(),
            ..Call::default()
        };
        let output = node.pipeline().vm().call(self.state(at)?.as_ref(), &env, &call)?;
        ensure!(
            matches!(output.result, causeway_execution::vm::CallResult::Success),
            "the call failed: {:?} {}",
            output.result,
            output.output
        );
        Ok(output.output)
    }

    /// The hub's coin that an address has on a chain, as coin or as ERC-20.
    pub fn coins(&self, at: usize, address: Address) -> eyre::Result<U256> {
        if self.members[at].world.spec.metalayer.coin != Coin::Own {
            return self.balance(at, address);
        }
        let Some(token) = view::supply(self.state(at)?.as_ref())?.token else {
            return Ok(U256::ZERO);
        };
        let mut input = vec![0x70, 0xa0, 0x82, 0x31];
        input.extend_from_slice(address.into_word().as_slice());
        Ok(U256::from_be_slice(&self.call(at, token, input)?))
    }

    /// Signs and submits a transaction of a dev account, with the next nonce of the pool.
    pub async fn submit(
        &self,
        at: usize,
        account: usize,
        to: TxKind,
        value: U256,
        input: Vec<u8>,
    ) -> eyre::Result<B256> {
        let (node, key) = (&self.members[at].sequencer, &keys::accounts()[account]);
        let state = self.state(at)?.account(key.address())?.unwrap_or_default();
        let nonce = node.pool().pending_nonce(key.address(), state.nonce);
        let chain_id = self.members[at].world.spec.chain_id;
        let draft = Draft {
            gas_limit: 3_000_000,
            to,
            value,
            input: input.into(),
            ..Draft::transfer(chain_id, nonce, Address::ZERO, 0)
        };
        Ok(node.submit(draft.sign(Form::Dynamic, key)).await?)
    }

    /// Sends coins of the hub to another chain; returns the transaction's hash.
    pub async fn transfer(&self, account: usize, transfer: Transfer) -> eyre::Result<B256> {
        let Transfer { from, to, recipient, amount, ttl_s, refund_to } = transfer;
        let destination = self.members[to].world.spec.metalayer.domain;
        let quote = quoteTransferCall { destination }.abi_encode();
        let fee = U256::from_be_slice(&self.call(from, MAILBOX, quote)?);
        let native = self.members[from].world.spec.metalayer.coin != Coin::Own;
        let value = if native { fee + amount } else { fee };
        let recipient = word_of(recipient);
        let (ttl, refund) = (ttl_s, refund_to);
        let call = transferRemoteWithCall {
            destination,
            recipient,
            amount,
            ttlSeconds: ttl,
            refundTo: refund,
        };
        self.submit(from, account, TxKind::Call(MAILBOX), value, call.abi_encode()).await
    }

    /// Whether a transaction of a chain is in a block and ran to its end.
    pub fn succeeded(&self, at: usize, tx: B256) -> eyre::Result<bool> {
        let found = self.members[at].sequencer.pipeline().snapshot().tx(tx)?;
        Ok(found.is_some_and(|(block, index)| block.receipts[index].success))
    }

    /// Sends a message to a contract on another chain.
    pub async fn message(&self, account: usize, message: Words) -> eyre::Result<()> {
        let Words { from, to, recipient, body, gas, ttl_s } = message;
        let destination = self.members[to].world.spec.metalayer.domain;
        let quote = quoteDispatchWithCall {
            destinationDomain: destination,
            bodyBytes: U256::from(body.len()),
            gasLimit: gas,
        };
        let fee = U256::from_be_slice(&self.call(from, MAILBOX, quote.abi_encode())?);
        let call = dispatchWithCall {
            destinationDomain: destination,
            recipientAddress: word_of(recipient),
            messageBody: body.into(),
            gasLimit: gas,
            ttlSeconds: ttl_s,
            refundTo: keys::accounts()[account].address(),
        };
        self.submit(from, account, TxKind::Call(MAILBOX), fee, call.abi_encode()).await?;
        Ok(())
    }

    /// Ids of the messages that a block sent.
    pub fn ids(block: &Block) -> Vec<B256> {
        let message = |item: &LaneItem| match item {
            LaneItem::Message(message) => Some(message.id()),
            LaneItem::Receipt(_) => None,
        };
        block.outbox.iter().filter_map(message).collect()
    }
}

/// Coins to be moved.
#[derive(Debug, Clone, Copy)]
pub struct Transfer {
    /// Chain they leave.
    pub from: usize,
    /// Chain they go to.
    pub to: usize,
    /// Who gets them.
    pub recipient: Address,
    /// Wei.
    pub amount: U256,
    /// Lifetime in seconds; 0 is the chain's.
    pub ttl_s: u64,
    /// Who gets back what is not used.
    pub refund_to: Address,
}

/// A message to be sent.
#[derive(Debug, Clone)]
pub struct Words {
    /// Chain it leaves.
    pub from: usize,
    /// Chain it goes to.
    pub to: usize,
    /// The contract.
    pub recipient: Address,
    /// What it gets.
    pub body: Vec<u8>,
    /// Gas it may use.
    pub gas: u64,
    /// Lifetime in seconds; 0 is the chain's.
    pub ttl_s: u64,
}

fn remote(world: &World, dir: &TempDir, set: usize) -> RemoteSettings {
    let name = &world.spec.short_name;
    RemoteSettings {
        spec: world.spec.clone(),
        da: world.da.clone(),
        datadir: dir.path().join(format!("remotes-{set}/{name}")).into(),
    }
}

fn open_remotes(worlds: &[World], dir: &TempDir, set: usize) -> eyre::Result<Arc<Remotes>> {
    let settings: Vec<_> = worlds.iter().map(|world| remote(world, dir, set)).collect();
    let clock = worlds.first().context("a member")?.clock.clone();
    Ok(Remotes::open(settings, clock, 8 << 20)?)
}
