//! Chains, senders and transactions made of numbers: the same in every run.

use std::path::Path;
use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use alloy_signer_local::PrivateKeySigner;
use causeway_chainspec::spec::presets::{Keys, Template};
use causeway_chainspec::spec::{GenesisAccount, Inputs, parse};
use causeway_chainspec::{Block, BlockBody, BlockPlan, ChainSpec, Claim, Tx};
use causeway_execution::{Pipeline, PipelineConfig, Stop};
use causeway_tests::txs::{Draft, Form, Rng};
use eyre::{ContextCompat, ensure, eyre};

/// EIP-155 chain id of every chain made here.
pub const CHAIN_ID: u64 = 901;
/// What a sender has at genesis.
const RICH: U256 = U256::from_limbs([0, 1 << 40, 0, 0]);
/// Wei that nobody notices: a balance of an account that is only there.
const SOME: u64 = 1_000_000_000;
/// Time between blocks, ms.
pub const BLOCK_MS: u64 = 250;
/// What a call of `transfer(address,uint256)` begins with.
const ERC20_TRANSFER: [u8; 4] = [0xa9, 0x05, 0x9c, 0xbb];

/// The key of a sender.
pub fn sender(index: u64) -> PrivateKeySigner {
    let seed = keccak256([b"sender".as_slice(), &index.to_be_bytes()].concat());
    PrivateKeySigner::from_bytes(&seed).expect("a hash is a scalar")
}

/// The keys of so many senders.
pub fn senders(count: u64) -> Vec<PrivateKeySigner> {
    (0..count).map(sender).collect()
}

/// An account by number; `kind` tells sets of accounts apart.
pub fn account(kind: u64, index: u64) -> Address {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&kind.to_be_bytes());
    bytes[8..].copy_from_slice(&index.to_be_bytes());
    Address::from_slice(&keccak256(bytes)[12..])
}

/// The set of accounts that are there from genesis on.
pub const THERE: u64 = 1;
/// The set of accounts that nobody has yet.
pub const FRESH: u64 = 2;

/// A spec in which nothing but the machine bounds throughput: the text of its `chain.toml`.
pub fn spec_text(genesis_ms: u64) -> String {
    let mut template = Template::devnet("bench", CHAIN_ID, "evm", Keys::DEV, genesis_ms);
    template.gas_limit = "2000M".to_owned();
    template.gas_rate = "8000M".to_owned();
    template.window = "12h".to_owned();
    template.to_toml()
}

/// That spec, with senders that are rich, accounts of the set [`THERE`] that have a little, and
/// contracts.
pub fn spec(
    genesis_ms: u64,
    senders: &[PrivateKeySigner],
    accounts: u64,
    contracts: &[(Address, GenesisAccount)],
) -> eyre::Result<ChainSpec> {
    let (mut spec, _warnings) =
        parse(&spec_text(genesis_ms), &Inputs::NONE).map_err(|invalid| eyre!("{invalid}"))?;
    let with = |balance| GenesisAccount { balance, ..Default::default() };
    let alloc = &mut spec.genesis.alloc;
    alloc.extend(senders.iter().map(|key| (key.address(), with(RICH))));
    alloc.extend((0..accounts).map(|index| (account(THERE, index), with(U256::from(SOME)))));
    alloc.extend(contracts.iter().cloned());
    Ok(spec)
}

/// Whom transactions pay to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recipients {
    /// Somebody new each time, from a number on.
    Fresh(u64),
    /// Any of so many that are there.
    Any(u64),
}

/// How much they pay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    /// Any 64 bits below 2^60.
    Random,
    /// One to a hundred thousandths of an ether.
    Round,
}

/// A stream of transfers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mix {
    /// Whom they pay.
    pub recipients: Recipients,
    /// How much.
    pub values: Values,
    /// Of a token, by its `transfer`, instead of the chain's coin.
    pub token: Option<Address>,
    /// Nonce that every sender has before.
    pub nonce: u64,
}

impl Mix {
    /// Transfers to fresh recipients with random values, of senders that have sent nothing.
    pub const FRESH: Self =
        Self { recipients: Recipients::Fresh(0), values: Values::Random, token: None, nonce: 0 };

    /// So many signed transactions, the senders in turn; the same for the same seed.
    pub fn sign(&self, seed: u64, senders: &[PrivateKeySigner], count: u64) -> Vec<Bytes> {
        let mut rng = Rng::new(seed);
        let sign = |index: u64| {
            let sender = index % senders.len() as u64;
            let nonce = self.nonce + index / senders.len() as u64;
            let to = match self.recipients {
                Recipients::Fresh(from) => account(FRESH, from + index),
                Recipients::Any(count) => account(THERE, rng.below(count)),
            };
            let wei = match self.values {
                Values::Random => u128::from(rng.number() >> 4),
                Values::Round => u128::from(1 + rng.below(100)) * 10_000_000_000_000,
            };
            let mut draft = Draft::transfer(CHAIN_ID, nonce, to, wei);
            if let Some(token) = self.token {
                let value = B256::from(U256::from(wei));
                let input = [&ERC20_TRANSFER, to.into_word().as_slice(), value.as_slice()].concat();
                draft.to = TxKind::Call(token);
                draft.value = U256::ZERO;
                draft.input = input.into();
                draft.gas_limit = 60_000;
            }
            draft.sign(Form::Dynamic, &senders[sender as usize])
        };
        (0..count).map(sign).collect()
    }
}

/// A call with no value.
pub fn call(
    key: &PrivateKeySigner,
    nonce: u64,
    to: Address,
    gas_limit: u64,
    input: Bytes,
) -> Bytes {
    let mut draft = Draft::transfer(CHAIN_ID, nonce, to, 0);
    (draft.gas_limit, draft.input) = (gas_limit, input);
    draft.sign(Form::Dynamic, key)
}

/// Decodes and recovers.
pub fn decode(raw: &[Bytes]) -> eyre::Result<Vec<Arc<Tx>>> {
    raw.iter().map(|raw| Ok(Arc::new(Tx::decode(raw.clone())?))).collect()
}

/// A claim on another that takes no forced entry, [`BLOCK_MS`] later.
pub fn claim_on(parent: &Claim, body: &BlockBody) -> Claim {
    Claim {
        number: parent.number + 1,
        parent: parent.hash(),
        time_ms: parent.time_ms + BLOCK_MS,
        inbound_root: body.inbound_root(),
        candidates_root: body.candidates_root(),
        ..parent.clone()
    }
}

/// One chain in this process: a pipeline on its own files, and the claim of its newest block.
pub struct Line {
    /// The pipeline.
    pub pipeline: Pipeline,
    /// The newest block's claim.
    pub tip: Claim,
}

impl Line {
    /// Opens a directory; the chain begins at genesis.
    pub fn open(dir: &Path, spec: Arc<ChainSpec>, cache_bytes: usize) -> eyre::Result<Self> {
        let config = PipelineConfig {
            datadir: dir.into(),
            spec,
            modules: Vec::new(),
            archive: false,
            address_index: None,
            history_blocks: 128,
            cache_bytes,
        };
        let (pipeline, _recovered) = Pipeline::open(config)?;
        let genesis = pipeline.snapshot().block(0)?.context("block 0")?;
        let tip = genesis.plan.claim.clone();
        Ok(Self { pipeline, tip })
    }

    /// The plan of the next block.
    pub fn plan(&self, txs: Vec<Arc<Tx>>) -> BlockPlan {
        let body = BlockBody {
            inbound: Vec::new(),
            candidates: txs.iter().map(|tx| tx.raw.clone()).collect(),
        };
        let candidates = txs.into_iter().map(causeway_chainspec::plan::Candidate::Tx).collect();
        BlockPlan { claim: claim_on(&self.tip, &body), body, forced: Vec::new(), candidates }
    }

    /// Builds a block as a sequencer does; all its transactions must be taken and succeed.
    pub fn build(&self, plan: BlockPlan) -> eyre::Result<Arc<Block>> {
        let count = plan.candidates.len();
        let built = self.pipeline.build(plan, &Stop::never())?;
        all_taken(&built.block, count)?;
        Ok(built.block)
    }

    /// Makes a built or executed block the newest, durably.
    pub fn commit(&mut self, block: &Block) -> eyre::Result<()> {
        self.pipeline.commit(block.claim_hash, None, None)?;
        self.tip = block.plan.claim.clone();
        Ok(())
    }
}

/// Checks that a block took all of so many transactions, and all of them succeeded.
pub fn all_taken(block: &Block, count: usize) -> eyre::Result<()> {
    let good = block.receipts.iter().filter(|receipt| receipt.success).count();
    ensure!(
        block.txs.len() == count && good == count,
        "of {count} transactions {} were taken and {good} succeeded",
        block.txs.len()
    );
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn streams_repeat_and_go_on_where_they_end() {
        let keys = senders(3);
        let all = Mix::FRESH.sign(1, &keys, 6);
        assert_eq!(all, Mix::FRESH.sign(1, &keys, 6));
        assert_ne!(all[0], Mix::FRESH.sign(2, &keys, 6)[0], "another seed, other values");
        let txs = decode(&all).unwrap();
        assert_eq!(txs[4].sender, keys[1].address());
        let nonces: Vec<_> =
            txs.iter().map(|tx| alloy_consensus::Transaction::nonce(&tx.envelope)).collect();
        assert_eq!(nonces, [0, 0, 0, 1, 1, 1]);
    }

    #[test]
    fn a_line_of_blocks_takes_every_transaction() {
        let dir = tempfile::TempDir::new().unwrap();
        let keys = senders(2);
        let spec = spec(1_750_000_000_000, &keys, 10, &[]).unwrap();
        assert!(spec.genesis.alloc.contains_key(&account(THERE, 9)));
        let mut line = Line::open(dir.path(), Arc::new(spec), 1 << 20).unwrap();
        let mix = Mix { recipients: Recipients::Any(10), ..Mix::FRESH };
        for (at, raw) in mix.sign(0, &keys, 8).chunks(4).enumerate() {
            let block = line.build(line.plan(decode(raw).unwrap())).unwrap();
            assert_eq!(block.header.number, at as u64 + 1);
            line.commit(&block).unwrap();
        }
        // The same nonces again are not taken.
        let again = line.plan(decode(&mix.sign(0, &keys, 2)).unwrap());
        assert!(line.build(again).is_err());
    }
}
