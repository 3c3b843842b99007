//! When which rules of Ethereum come into force on a chain.

use alloy_consensus::Header;
use alloy_eips::eip2124::ForkHash;
use alloy_eips::eip6110::MAINNET_DEPOSIT_CONTRACT_ADDRESS;
use alloy_eips::eip7840::BlobParams;
use alloy_genesis::ChainConfig;
use alloy_primitives::{Address, B256, U256};
use alloy_rlp::Encodable;

use super::GenesisError;
use crate::plan::{BlockEnv, NO_BLOBS};
use crate::spec::Fork;

/// Wei in an ether.
const ETHER: u128 = 1_000_000_000_000_000_000;

/// Most blobs of a block that a schedule may allow: far beyond any network.
const MOST_BLOBS: u64 = 1 << 20;
/// Excess blob gas, in update fractions, whose price no balance could pay: e^80 wei per gas.
const UNPAYABLE: u128 = 80;

/// Forks of a chain by block, up to the merge, and by time, after it.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Total difficulty from which on there is no proof of work (EIP-3675); `None` for a chain
    /// that never merges.
    pub merge: Option<U256>,
    /// Contract whose logs are deposits (EIP-6110).
    pub deposit_contract: Address,
    /// Block from which on Constantinople's reward and bomb hold (EIP-1234); its EVM came with
    /// Petersburg.
    constantinople: Option<u64>,
    /// First blocks of the forks before the merge.
    blocks: Vec<(u64, Fork)>,
    /// First seconds of those after it.
    times: Vec<(u64, Fork)>,
    /// Blocks from which on the difficulty bomb is set back, and by how many blocks.
    bombs: Vec<(u64, u64)>,
    /// Limits and prices of blobs, and the second from which on they hold; ascending.
    blobs: Vec<(u64, BlobParams)>,
    /// Every block at which rules change, and every second, as EIP-2124 counts them: also those
    /// that nothing here depends on.
    milestones: (Vec<u64>, Vec<u64>),
}

impl Schedule {
    /// The schedule of a genesis file's `config`. Refuses what would be run by wrong rules.
    pub fn new(config: &ChainConfig) -> Result<Self, GenesisError> {
        let unsupported = |what: &str| Err(GenesisError::Unsupported(what.into()));
        if config.clique.is_some() || config.parlia.is_some() {
            return unsupported("only chains of proof of work and of stake are run, not clique");
        }
        if config.dao_fork_support && config.dao_fork_block.is_some() {
            return unsupported("daoForkBlock: the DAO's irregular state change is not made");
        }
        if config.amsterdam_time.is_some() || config.bogota_time.is_some() {
            return unsupported("forks after Osaka (and its BPO forks) are not known");
        }
        if config.eip155_block != config.eip158_block {
            return unsupported("eip155Block and eip158Block must be the same block");
        }
        let at = |block: Option<u64>, fork| block.map(|block| (block, fork));
        let blocks = [
            at(config.homestead_block, Fork::Homestead),
            at(config.eip150_block, Fork::TangerineWhistle),
            at(config.eip158_block, Fork::SpuriousDragon),
            at(config.byzantium_block, Fork::Byzantium),
            at(config.petersburg_block.or(config.constantinople_block), Fork::Petersburg),
            at(config.istanbul_block, Fork::Istanbul),
            at(config.berlin_block, Fork::Berlin),
            at(config.london_block, Fork::London),
        ];
        let times = [
            at(config.shanghai_time, Fork::Shanghai),
            at(config.cancun_time, Fork::Cancun),
            at(config.prague_time, Fork::Prague),
            at(config.osaka_time, Fork::Osaka),
        ];
        let bomb = |block: Option<u64>, delay: u64| block.map(|block| (block, delay));
        let bombs = [
            bomb(config.byzantium_block, 3_000_000),
            bomb(config.constantinople_block, 5_000_000),
            bomb(config.muir_glacier_block, 9_000_000),
            bomb(config.london_block, 9_700_000),
            bomb(config.arrow_glacier_block, 10_700_000),
            bomb(config.gray_glacier_block, 11_400_000),
        ];
        let params = config.blob_schedule_blob_params();
        let blob = |time: Option<u64>, params| time.map(|time| (time, params));
        let named = [
            blob(config.cancun_time, params.cancun),
            blob(config.prague_time, params.prague),
            blob(config.osaka_time, params.osaka),
        ];
        let mut blobs: Vec<_> = named.into_iter().flatten().collect();
        blobs.extend(params.scheduled);
        for (_, it) in &blobs {
            let bounds = it.target_blob_count <= it.max_blob_count && it.max_blob_count > 0;
            if !bounds || it.max_blob_count > MOST_BLOBS || it.update_fraction == 0 {
                return unsupported("blobSchedule: target above max, or max or fraction of 0");
            }
        }
        let milestones = [
            config.homestead_block,
            config.dao_fork_block,
            config.eip150_block,
            config.eip158_block,
            config.byzantium_block,
            config.constantinople_block,
            config.petersburg_block,
            config.istanbul_block,
            config.muir_glacier_block,
            config.berlin_block,
            config.london_block,
            config.arrow_glacier_block,
            config.gray_glacier_block,
            config.merge_netsplit_block,
        ];
        let seconds = times.iter().flatten().map(|(time, _)| *time);
        let seconds = seconds.chain(blobs.iter().map(|(time, _)| *time)).collect();
        let milestones =
            (ascending(milestones.into_iter().flatten().collect()), ascending(seconds));
        Ok(Self {
            milestones,
            chain_id: config.chain_id,
            merge: config.terminal_total_difficulty,
            deposit_contract: config
                .deposit_contract_address
                .unwrap_or(MAINNET_DEPOSIT_CONTRACT_ADDRESS),
            constantinople: config.constantinople_block,
            blocks: blocks.into_iter().flatten().collect(),
            times: times.into_iter().flatten().collect(),
            bombs: bombs.into_iter().flatten().collect(),
            blobs,
        })
    }

    /// Rules of a block; `merged` if there is no proof of work in it any more.
    pub fn fork(&self, number: u64, timestamp: u64, merged: bool) -> Fork {
        let blocks = self.blocks.iter().filter(|(first, _)| *first <= number);
        let times = self.times.iter().filter(|(first, _)| *first <= timestamp);
        let fork = blocks.chain(times).map(|(_, fork)| *fork).max().unwrap_or(Fork::Frontier);
        if merged { fork.max(Fork::Paris) } else { fork }
    }

    /// Rules of a block whose header is at hand: without difficulty, it is a merged one.
    pub fn fork_of(&self, header: &Header) -> Fork {
        self.fork(header.number, header.timestamp, header.difficulty.is_zero())
    }

    /// Whether the child of a block with this total difficulty needs no proof of work.
    pub fn merged_after(&self, total_difficulty: U256) -> bool {
        self.merge.is_some_and(|merge| total_difficulty >= merge)
    }

    /// Forks by block, then by time, in order of their coming into force: first block or first
    /// second, and which of the two.
    pub fn forks(&self) -> impl Iterator<Item = (Fork, Activation)> + '_ {
        let block = |(first, fork): &(u64, Fork)| (*fork, Activation::Block(*first));
        let time = |(first, fork): &(u64, Fork)| (*fork, Activation::Time(*first));
        self.blocks.iter().map(block).chain(self.times.iter().map(time))
    }

    /// Limits and prices of blobs at a time; `None` before Cancun.
    pub fn blobs(&self, timestamp: u64) -> Option<BlobParams> {
        let begun = self.blobs.iter().rev().find(|(first, _)| *first <= timestamp);
        begun.map(|(_, params)| *params)
    }

    /// Seconds at which rules or blobs change, ascending.
    pub fn times(&self) -> &[u64] {
        &self.milestones.1
    }

    /// Fork hash (EIP-2124, EIP-6122) of the rules that hold from a second on, after all that come by
    /// block: CRC-32 of block 0's hash and of each change so far.
    pub fn fork_hash(&self, genesis: &Header, genesis_hash: B256, time: u64) -> [u8; 4] {
        let (blocks, times) = &self.milestones;
        let blocks = blocks.iter().filter(|block| **block > 0);
        let times = times.iter().filter(|it| **it > genesis.timestamp && **it <= time);
        let passed = blocks.chain(times);
        passed.fold(ForkHash::from(genesis_hash), |hash, change| hash + *change).0
    }

    /// Whether somebody could pay for blobs at this excess, at any time.
    pub(super) fn is_payable(&self, excess_blob_gas: u64) -> bool {
        let excess = u128::from(excess_blob_gas);
        self.blobs.iter().all(|(_, it)| excess / it.update_fraction < UNPAYABLE)
    }

    /// Wei that the miner of a block gets before the merge; uncles change it.
    pub fn reward(&self, number: u64) -> U256 {
        let since = |first: Option<u64>| first.is_some_and(|first| first <= number);
        let byzantium = self.fork(number, 0, false) >= Fork::Byzantium;
        U256::from(match (since(self.constantinople), byzantium) {
            (true, _) => 2 * ETHER,
            (_, true) => 3 * ETHER,
            _ => 5 * ETHER,
        })
    }

    /// Blocks by which the difficulty bomb is set back.
    pub(super) fn bomb_delay(&self, number: u64) -> u64 {
        let begun = self.bombs.iter().filter(|(first, _)| *first <= number);
        begun.map(|(_, delay)| *delay).max().unwrap_or(0)
    }

    /// What contracts see of a block.
    pub fn env(&self, header: &Header) -> BlockEnv {
        let blobs = self.blobs(header.timestamp).zip(header.excess_blob_gas);
        BlockEnv {
            chain_id: self.chain_id,
            number: header.number,
            time_ms: header.timestamp.saturating_mul(1000),
            fork: self.fork_of(header),
            beneficiary: header.beneficiary,
            gas_limit: header.gas_limit,
            gas_available: header.gas_limit,
            bytes_available: u64::MAX,
            base_fee: header.base_fee_per_gas.unwrap_or_default(),
            mix_hash: header.mix_hash,
            difficulty: header.difficulty,
            blob_base_fee: blobs.map_or(NO_BLOBS, |(it, excess)| it.calc_blob_fee(excess)),
        }
    }

    /// Everything in it, for a hash.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let forks = |forks: &[(u64, Fork)]| -> Vec<Vec<u64>> {
            forks.iter().map(|(first, fork)| vec![*first, *fork as u64]).collect()
        };
        let blobs: Vec<Vec<u128>> = self
            .blobs
            .iter()
            .map(|(first, it)| {
                let small = [*first, it.target_blob_count, it.max_blob_count];
                let mut all: Vec<u128> = small.into_iter().map(u128::from).collect();
                all.extend([it.update_fraction, it.min_blob_fee]);
                all
            })
            .collect();
        self.chain_id.encode(out);
        self.merge.into_iter().collect::<Vec<_>>().encode(out);
        self.deposit_contract.encode(out);
        self.constantinople.into_iter().collect::<Vec<_>>().encode(out);
        forks(&self.blocks).encode(out);
        forks(&self.times).encode(out);
        self.bombs.iter().map(|(first, by)| vec![*first, *by]).collect::<Vec<_>>().encode(out);
        blobs.encode(out);
    }
}

fn ascending(mut numbers: Vec<u64>) -> Vec<u64> {
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// When a fork comes into force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// From this block on.
    Block(u64),
    /// From this second on.
    Time(u64),
}
