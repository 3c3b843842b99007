//! Claim, body, header and receipts: the values of one block and how they hash.

use std::sync::Arc;

use alloy_consensus::{EMPTY_OMMER_ROOT_HASH, Header, TxReceipt};
use alloy_eips::eip2718::Encodable2718;
use alloy_eips::eip7685::Requests;
use alloy_primitives::{Address, B64, B256, Bloom, Bytes, Log, U256, keccak256};
use alloy_rlp::{BufMut, Decodable, Encodable, RlpDecodable, RlpEncodable};
use op_alloy_consensus::{DEPOSIT_TX_TYPE_ID, OpReceiptEnvelope, OpTxType};

use crate::batch::DaRef;
use crate::ethereum::EthereumParts;
use crate::message::LaneItem;
use crate::metalayer::Inbound;
use crate::plan::{BlockEnv, BlockPlan};
use crate::seal::Seal;
use crate::tx::{SkipReason, Tx};

/// EIP-7685 request type of our one request: claim hash, then Metalayer commitment.
pub const REQUEST_TYPE: u8 = 0xca;
/// First byte of `extraData`: the version of its layout.
pub const EXTRA_VERSION: u8 = 1;

/// A block of the parent chain that a claim leans on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct Origin {
    /// Number on the parent chain.
    pub number: u64,
    /// Hash on the parent chain.
    pub hash: B256,
}

/// How far the forced lane has been taken into blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, RlpEncodable, RlpDecodable)]
pub struct LanePosition {
    /// Entries taken so far, since the start of the lane.
    pub count: u64,
    /// acc(0) = 0, acc(n) = keccak256(acc(n - 1) || entry hash).
    pub accumulator: B256,
}

impl LanePosition {
    /// The position after one more entry.
    pub fn after(self, entry: B256) -> Self {
        let mut bytes = [0u8; 64];
        bytes[..32].copy_from_slice(self.accumulator.as_slice());
        bytes[32..].copy_from_slice(entry.as_slice());
        Self { count: self.count + 1, accumulator: keccak256(bytes) }
    }
}

/// The DA block up to which a claim has read the forced lane, and what it took from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, RlpEncodable, RlpDecodable)]
pub struct ForcedCut {
    /// DA block read last; never lower than the parent's.
    pub da: DaRef,
    /// The lane after this block.
    pub lane: LanePosition,
}

/// What a claim says about another member of the Metalayer (protocol, section 8).
#[derive(Debug, Clone, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct Anchor {
    /// Hyperlane domain of the remote.
    pub domain: u32,
    /// Its chain identity.
    pub identity: B256,
    /// Its rules hash at that block.
    pub rules_hash: B256,
    /// Directory sequence it held.
    pub directory: u64,
    /// DA block in which the remote's block is final.
    pub da: DaRef,
    /// Remote block number.
    pub number: u64,
    /// Remote block hash.
    pub hash: B256,
    /// Metalayer commitment of that block.
    pub commitment: B256,
    /// Its base fee, wei per gas.
    pub base_fee: u64,
    /// Its time in ms.
    pub time_ms: u64,
}

/// Why a sequencer left blocks it had sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum AbandonReason {
    /// Another claim with its number became safe.
    Replaced = 1,
    /// Its cut or origin is not on the chain being derived.
    InputGone = 2,
    /// Its time is below the floor.
    Expired = 3,
}

impl Encodable for AbandonReason {
    fn encode(&self, out: &mut dyn alloy_rlp::BufMut) {
        (*self as u8).encode(out);
    }
    fn length(&self) -> usize {
        1
    }
}

impl Decodable for AbandonReason {
    fn decode(buf: &mut &[u8]) -> alloy_rlp::Result<Self> {
        match u8::decode(buf)? {
            1 => Ok(Self::Replaced),
            2 => Ok(Self::InputGone),
            3 => Ok(Self::Expired),
            _ => Err(alloy_rlp::Error::Custom("unknown abandon reason")),
        }
    }
}

/// Most takeovers inside one another: an abandoned claim may itself have begun a term. Bounds the
/// work and the stack that decoding a stranger's claim can take.
pub const MAX_NESTED_TAKEOVERS: usize = 16;

/// The justification of a new term: the first abandoned claim, whole, so that a fresh node can
/// check the reason, and the DA block after which the parent was the safe head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Takeover {
    /// DA block R; the new term is its height.
    pub reference: DaRef,
    /// First claim that was sealed in the old term and is not on the chain.
    pub abandoned: Box<Claim>,
    /// Why it is not.
    pub reason: AbandonReason,
}

/// Order, never state: every input of one block, known before anything is executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Chain identity.
    pub identity: B256,
    /// Block number.
    pub number: u64,
    /// The parent's term, or the height of the DA block that justifies a new one.
    pub term: u64,
    /// Claim hash of the parent.
    pub parent: B256,
    /// Unix time in ms, above the parent's.
    pub time_ms: u64,
    /// Parent chain block, if the chain has one; once some, never none.
    pub origin: Option<Origin>,
    /// Forced lane.
    pub cut: ForcedCut,
    /// Remote members.
    pub anchors: Vec<Anchor>,
    /// keccak256 of the concatenated hashes of what comes in from remote members.
    pub inbound_root: B256,
    /// keccak256 of the concatenated hashes of the candidates.
    pub candidates_root: B256,
    /// Present exactly when the term is new.
    pub takeover: Option<Takeover>,
}

/// Fields as one RLP list. Each is encoded once, not measured first: claims nest, and measuring
/// at every level would double the work with each.
fn encode_list(out: &mut dyn alloy_rlp::BufMut, fields: impl FnOnce(&mut Vec<u8>)) {
    let mut payload = Vec::with_capacity(320);
    fields(&mut payload);
    alloy_rlp::Header { list: true, payload_length: payload.len() }.encode(out);
    out.put_slice(&payload);
}

/// The fields of one RLP list, which must hold nothing else.
fn decode_list<T>(
    buf: &mut &[u8],
    fields: impl FnOnce(&mut &[u8]) -> alloy_rlp::Result<T>,
) -> alloy_rlp::Result<T> {
    let mut payload = alloy_rlp::Header::decode_bytes(buf, true)?;
    let value = fields(&mut payload)?;
    if payload.is_empty() { Ok(value) } else { Err(alloy_rlp::Error::UnexpectedLength) }
}

/// An optional value as an RLP list of none or one.
fn encode_option<T: Encodable>(value: Option<&T>, out: &mut dyn alloy_rlp::BufMut) {
    encode_list(out, |payload| {
        if let Some(value) = value {
            value.encode(payload);
        }
    });
}

fn decode_option<T>(
    buf: &mut &[u8],
    decode: impl FnOnce(&mut &[u8]) -> alloy_rlp::Result<T>,
) -> alloy_rlp::Result<Option<T>> {
    decode_list(
        buf,
        |payload| {
            if payload.is_empty() { Ok(None) } else { decode(payload).map(Some) }
        },
    )
}

impl Takeover {
    fn encode_fields(&self, out: &mut Vec<u8>) {
        self.reference.encode(out);
        self.abandoned.encode(out);
        self.reason.encode(out);
    }

    fn decode_nested(buf: &mut &[u8], depth: usize) -> alloy_rlp::Result<Self> {
        if depth >= MAX_NESTED_TAKEOVERS {
            return Err(alloy_rlp::Error::Custom("too many takeovers inside one another"));
        }
        decode_list(buf, |fields| {
            Ok(Self {
                reference: Decodable::decode(fields)?,
                abandoned: Box::new(Claim::decode_nested(fields, depth + 1)?),
                reason: Decodable::decode(fields)?,
            })
        })
    }
}

impl Encodable for Takeover {
    fn encode(&self, out: &mut dyn alloy_rlp::BufMut) {
        encode_list(out, |fields| self.encode_fields(fields));
    }

    fn length(&self) -> usize {
        let mut out = Vec::with_capacity(320);
        self.encode(&mut out);
        out.len()
    }
}

impl Decodable for Takeover {
    fn decode(buf: &mut &[u8]) -> alloy_rlp::Result<Self> {
        Self::decode_nested(buf, 0)
    }
}

impl Claim {
    /// keccak256("causeway/claim/1" || rlp(claim)): the name of the block before it is executed.
    pub fn hash(&self) -> B256 {
        let mut bytes = b"causeway/claim/1".to_vec();
        self.encode(&mut bytes);
        keccak256(bytes)
    }

    /// `mixHash` of the block: keccak256(parent claim hash || number). No randomness.
    pub fn mix_hash(&self) -> B256 {
        let mut bytes = [0u8; 40];
        bytes[..32].copy_from_slice(self.parent.as_slice());
        bytes[32..].copy_from_slice(&self.number.to_be_bytes());
        keccak256(bytes)
    }

    /// `extraData` of the block: version, ms within the second (u16), term (u64), big-endian.
    pub fn extra_data(&self) -> Bytes {
        let mut bytes = vec![EXTRA_VERSION];
        bytes.extend_from_slice(&((self.time_ms % 1000) as u16).to_be_bytes());
        bytes.extend_from_slice(&self.term.to_be_bytes());
        bytes.into()
    }

    fn encode_fields(&self, out: &mut Vec<u8>) {
        self.identity.encode(out);
        self.number.encode(out);
        self.term.encode(out);
        self.parent.encode(out);
        self.time_ms.encode(out);
        encode_option(self.origin.as_ref(), out);
        self.cut.encode(out);
        self.anchors.encode(out);
        self.inbound_root.encode(out);
        self.candidates_root.encode(out);
        encode_option(self.takeover.as_ref(), out);
    }
}

impl Encodable for Claim {
    fn encode(&self, out: &mut dyn alloy_rlp::BufMut) {
        encode_list(out, |fields| self.encode_fields(fields));
    }

    fn length(&self) -> usize {
        let mut out = Vec::with_capacity(320);
        self.encode(&mut out);
        out.len()
    }
}

impl Decodable for Claim {
    fn decode(buf: &mut &[u8]) -> alloy_rlp::Result<Self> {
        Self::decode_nested(buf, 0)
    }
}

impl Claim {
    fn decode_nested(buf: &mut &[u8], depth: usize) -> alloy_rlp::Result<Self> {
        decode_list(buf, |fields| {
            Ok(Self {
                identity: Decodable::decode(fields)?,
                number: Decodable::decode(fields)?,
                term: Decodable::decode(fields)?,
                parent: Decodable::decode(fields)?,
                time_ms: Decodable::decode(fields)?,
                origin: decode_option(fields, Origin::decode)?,
                cut: Decodable::decode(fields)?,
                anchors: Decodable::decode(fields)?,
                inbound_root: Decodable::decode(fields)?,
                candidates_root: Decodable::decode(fields)?,
                takeover: decode_option(fields, |buf| Takeover::decode_nested(buf, depth))?,
            })
        })
    }
}

/// What a claim commits to by root.
#[derive(Debug, Clone, PartialEq, Eq, Default, RlpEncodable, RlpDecodable)]
pub struct BlockBody {
    /// What the claim's anchors newly cover: one for each, in their order.
    pub inbound: Vec<Inbound>,
    /// Candidate transactions, EIP-2718 bytes, in order. Invalid ones are skipped, never an error.
    pub candidates: Vec<Bytes>,
}

impl BlockBody {
    /// keccak256 of the concatenated hashes of `inbound`.
    pub fn inbound_root(&self) -> B256 {
        concat_hash(self.inbound.iter().map(Inbound::hash))
    }

    /// keccak256 of the concatenated candidate hashes.
    pub fn candidates_root(&self) -> B256 {
        concat_hash(self.candidates.iter().map(keccak256))
    }

    /// True if the claim commits to exactly this body.
    pub fn matches(&self, claim: &Claim) -> bool {
        claim.inbound_root == self.inbound_root() && claim.candidates_root == self.candidates_root()
    }
}

/// keccak256 of hashes put one after the other; of nothing, for an empty list.
pub fn concat_hash(hashes: impl Iterator<Item = B256>) -> B256 {
    let bytes: Vec<u8> = hashes.flat_map(|hash| hash.0).collect();
    keccak256(bytes)
}

/// What a transaction left behind.
#[derive(Debug, Clone, PartialEq, Eq, RlpEncodable, RlpDecodable)]
#[rlp(trailing)]
pub struct Receipt {
    /// Whether it ran to its end without reverting.
    pub success: bool,
    /// Gas used by it alone.
    pub gas_used: u64,
    /// Gas used in the block up to and with it.
    pub cumulative_gas_used: u64,
    /// Logs in order.
    pub logs: Vec<Log>,
    /// For a deposit: the sender's nonce before it ran (OP receipt field `depositNonce`).
    pub deposit_nonce: u64,
    /// Where a creation puts its contract, whether or not it succeeded; `None` for a call.
    pub contract_address: Option<Address>,
}

impl Receipt {
    /// Writes the consensus form, as it stands in the receipts trie from Byzantium on (deposits as
    /// OP since Canyon), for a transaction of this type.
    pub fn encode_2718(&self, tx_type: u8, out: &mut dyn BufMut) {
        if tx_type == DEPOSIT_TX_TYPE_ID {
            return OpReceiptEnvelope::from_parts(
                self.success,
                self.cumulative_gas_used,
                &self.logs,
                OpTxType::Deposit,
                Some(self.deposit_nonce),
                Some(1),
            )
            .encode_2718(out);
        }
        if tx_type != 0 {
            out.put_u8(tx_type);
        }
        alloy_consensus::Receipt {
            status: self.success.into(),
            cumulative_gas_used: self.cumulative_gas_used,
            logs: self.logs.clone(),
        }
        .into_with_bloom()
        .encode(out);
    }
}

/// The parts of a header that only execution knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Header hash of the parent.
    pub parent_hash: B256,
    /// State root after the block.
    pub state_root: B256,
    /// Root of the included transactions.
    pub transactions_root: B256,
    /// Root of their receipts.
    pub receipts_root: B256,
    /// Bloom of their logs.
    pub logs_bloom: Bloom,
    /// Gas used by them.
    pub gas_used: u64,
    /// Storage root of the L2-to-L1 message passer after the block.
    pub withdrawals_root: B256,
    /// Metalayer commitment after the block; zero without the Metalayer.
    pub commitment: B256,
}

/// The header of a block: a pure function of its claim, its environment and its outcome
/// (protocol, section 5). Its hash is recomputable by any Ethereum library.
pub fn header(claim: &Claim, env: &BlockEnv, outcome: &Outcome) -> Header {
    Header {
        parent_hash: outcome.parent_hash,
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        beneficiary: env.beneficiary,
        state_root: outcome.state_root,
        transactions_root: outcome.transactions_root,
        receipts_root: outcome.receipts_root,
        logs_bloom: outcome.logs_bloom,
        difficulty: U256::ZERO,
        number: claim.number,
        gas_limit: env.gas_limit,
        gas_used: outcome.gas_used,
        timestamp: claim.time_ms / 1000,
        extra_data: claim.extra_data(),
        mix_hash: claim.mix_hash(),
        nonce: B64::ZERO,
        base_fee_per_gas: Some(env.base_fee),
        withdrawals_root: Some(outcome.withdrawals_root),
        blob_gas_used: Some(0),
        excess_blob_gas: Some(0),
        parent_beacon_block_root: Some(claim.origin.map_or(B256::ZERO, |origin| origin.hash)),
        requests_hash: Some(requests_hash(claim.hash(), outcome.commitment)),
        ..Default::default()
    }
}

/// EIP-7685 hash of the block's one request: type [`REQUEST_TYPE`], claim hash, commitment.
pub fn requests_hash(claim: B256, commitment: B256) -> B256 {
    let mut request = vec![REQUEST_TYPE];
    request.extend_from_slice(claim.as_slice());
    request.extend_from_slice(commitment.as_slice());
    Requests::from(vec![Bytes::from(request)]).requests_hash()
}

/// An executed block, as everybody but the state transition needs it.
#[derive(Debug, Clone)]
pub struct Block {
    /// Its whole input.
    pub plan: BlockPlan,
    /// Claim hash.
    pub claim_hash: B256,
    /// Header.
    pub header: Header,
    /// Header hash.
    pub hash: B256,
    /// Included transactions, in order.
    pub txs: Vec<Arc<Tx>>,
    /// One receipt a transaction.
    pub receipts: Vec<Receipt>,
    /// Candidates and forced bytes left out, by hash of their bytes.
    pub skipped: Vec<(B256, SkipReason)>,
    /// What it sends to other members, in lane order.
    pub outbox: Vec<LaneItem>,
    /// What only a block of an Ethereum chain has (`causeway import --genesis`); else `None`.
    pub ethereum: Option<Arc<EthereumParts>>,
}

/// A block and the seal that makes it visible. Blocks made by derivation alone have none.
#[derive(Debug, Clone)]
pub struct SealedBlock {
    /// The block.
    pub block: Arc<Block>,
    /// The sequencer's seal, if one came with it.
    pub seal: Option<Seal>,
}
