//! Who is a member of the Metalayer: the seed of block 0, and the signed records that change it
//! (protocol, section 8, "Directory").

use alloy_primitives::{Address, B256, Bytes, Signature, U256, keccak256};
use alloy_rlp::{Decodable, Encodable, RlpDecodable, RlpEncodable};

use crate::mailbox::Coin;

/// First byte of a protocol message in the forced lane. No EIP-2718 type that a chain of ours
/// knows, so that no VM takes it for a transaction.
pub const FORCED_TYPE: u8 = 0x7c;

/// `metalayer.toml`, resolved: what every member starts with. In the identity of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// Name of the network.
    pub network: String,
    /// Signs the records that change the directory.
    pub governance: Address,
    /// Domain of the hub, at which the shared coin is at home.
    pub hub: u32,
    /// A member of which nothing was taken in for so long is stalled, ms.
    pub max_lag_ms: u64,
    /// Members by ascending domain.
    pub members: Vec<SeedMember>,
    /// Coins of the hub that are on their way when the network begins, in order.
    pub transfers: Vec<SeedTransfer>,
}

/// A member from the start.
#[derive(Debug, Clone, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct SeedMember {
    /// Name, `[a-z0-9-]+`.
    pub name: String,
    /// Hyperlane domain.
    pub domain: u32,
    /// Hash of the genesis part of its spec without the seed: the seed is in the identity.
    pub base: B256,
    /// Its rules hash.
    pub rules: B256,
}

/// Coins that the hub's block 0 sends.
#[derive(Debug, Clone, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct SeedTransfer {
    /// Domain of the receiving member.
    pub to: u32,
    /// Who gets them.
    pub recipient: Address,
    /// Wei.
    pub amount: U256,
}

impl Directory {
    /// Names the network: keccak256("causeway/network/1" || rlp(seed)). Every signed record is of
    /// one network.
    pub fn hash(&self) -> B256 {
        let mut fields = Vec::new();
        self.network.encode(&mut fields);
        self.governance.encode(&mut fields);
        self.hub.encode(&mut fields);
        self.max_lag_ms.encode(&mut fields);
        self.members.encode(&mut fields);
        self.transfers.encode(&mut fields);
        let mut bytes = b"causeway/network/1".to_vec();
        alloy_rlp::Header { list: true, payload_length: fields.len() }.encode(&mut bytes);
        bytes.extend_from_slice(&fields);
        keccak256(bytes)
    }

    /// A member by domain.
    pub fn member(&self, domain: u32) -> Option<&SeedMember> {
        self.members.iter().find(|member| member.domain == domain)
    }

    /// Identity of a member from its base: keccak256("causeway/member/1" || base || network).
    pub fn identity(&self, base: B256) -> B256 {
        let mut bytes = b"causeway/member/1".to_vec();
        bytes.extend_from_slice(base.as_slice());
        bytes.extend_from_slice(self.hash().as_slice());
        keccak256(bytes)
    }
}

/// Membership as the spec of one chain has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetalayerSpec {
    /// Whether the chain has an inbox and an outbox.
    pub enabled: bool,
    /// Hyperlane domain; the chain id unless set.
    pub domain: u32,
    /// What its gas coin is.
    pub coin: Coin,
    /// Lifetime of a message whose sender names none, ms.
    pub ttl_ms: u64,
    /// What the directory starts with; some exactly when `enabled`.
    pub directory: Option<Directory>,
}

impl MetalayerSpec {
    /// Of a chain that is no member.
    pub fn none(domain: u32) -> Self {
        Self { enabled: false, domain, coin: Coin::Own, ttl_ms: 0, directory: None }
    }

    /// Whether fees that would cease to exist go to the vault: the supply of the hub's coin is
    /// counted across chains.
    pub fn keeps_fees(&self) -> bool {
        self.enabled && self.coin != Coin::Own
    }
}

/// One numbered change of the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// [`Directory::hash`] of the network.
    pub network: B256,
    /// One more than the record before; the first is 1.
    pub sequence: u64,
    /// Block time from which it holds, ms; a pause holds at once.
    pub active_ms: u64,
    /// What changes.
    pub change: Change,
}

/// What a record may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A new member.
    Add(Member),
    /// No sends to it and no deliveries from it any more, until it is resumed.
    Pause(u32),
    /// Ends a pause.
    Resume(u32),
}

/// A member as the directory of a running chain holds it.
#[derive(Debug, Clone, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct Member {
    /// Name, at most 31 bytes.
    pub name: String,
    /// Hyperlane domain.
    pub domain: u32,
    /// Chain identity.
    pub identity: B256,
    /// Rules hash.
    pub rules: B256,
}

impl Encodable for Record {
    fn encode(&self, out: &mut dyn alloy_rlp::BufMut) {
        let mut fields = Vec::new();
        self.network.encode(&mut fields);
        self.sequence.encode(&mut fields);
        self.active_ms.encode(&mut fields);
        match &self.change {
            Change::Add(member) => {
                0u8.encode(&mut fields);
                member.encode(&mut fields);
            }
            Change::Pause(domain) => {
                1u8.encode(&mut fields);
                domain.encode(&mut fields);
            }
            Change::Resume(domain) => {
                2u8.encode(&mut fields);
                domain.encode(&mut fields);
            }
        }
        alloy_rlp::Header { list: true, payload_length: fields.len() }.encode(out);
        out.put_slice(&fields);
    }
}

impl Decodable for Record {
    fn decode(buf: &mut &[u8]) -> alloy_rlp::Result<Self> {
        let mut fields = alloy_rlp::Header::decode_bytes(buf, true)?;
        let fields = &mut fields;
        let (network, sequence) = (B256::decode(fields)?, u64::decode(fields)?);
        let active_ms = u64::decode(fields)?;
        let change = match u8::decode(fields)? {
            0 => Change::Add(Member::decode(fields)?),
            1 => Change::Pause(u32::decode(fields)?),
            2 => Change::Resume(u32::decode(fields)?),
            _ => return Err(alloy_rlp::Error::Custom("unknown change of the directory")),
        };
        if !fields.is_empty() {
            return Err(alloy_rlp::Error::UnexpectedLength);
        }
        Ok(Self { network, sequence, active_ms, change })
    }
}

impl Record {
    /// What governance signs: keccak256("causeway/directory/1" || rlp(record)).
    pub fn digest(&self) -> B256 {
        let mut bytes = b"causeway/directory/1".to_vec();
        self.encode(&mut bytes);
        keccak256(bytes)
    }
}

/// A record and governance's signature: 65 bytes r, s, v.
#[derive(Debug, Clone, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct SignedRecord {
    /// The record.
    pub record: Record,
    /// Over [`Record::digest`].
    pub signature: Bytes,
}

impl SignedRecord {
    /// Who signed it; `None` if that is no signature.
    pub fn signer(&self) -> Option<Address> {
        let signature = Signature::try_from(self.signature.as_ref()).ok()?;
        if signature.normalize_s().is_some() {
            return None;
        }
        signature.recover_address_from_prehash(&self.record.digest()).ok()
    }
}

/// What the protocol itself understands in the forced lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForcedMessage {
    /// A change of the directory.
    Record(SignedRecord),
    /// Anybody's demand that a member be taken in up to a height of its DA layer.
    Demand {
        /// The member.
        domain: u32,
        /// The height.
        height: u64,
    },
}

impl ForcedMessage {
    /// [`FORCED_TYPE`], the kind, and its RLP.
    pub fn encode(&self) -> Bytes {
        let mut out = vec![FORCED_TYPE];
        match self {
            Self::Record(record) => {
                out.push(0);
                record.encode(&mut out);
            }
            Self::Demand { domain, height } => {
                out.push(1);
                vec![u64::from(*domain), *height].encode(&mut out);
            }
        }
        out.into()
    }

    /// Reads what [`ForcedMessage::encode`] wrote; `None` for anything else.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, mut rest) = match bytes {
            [FORCED_TYPE, kind, rest @ ..] => (*kind, rest),
            _ => return None,
        };
        let message = match kind {
            0 => Self::Record(SignedRecord::decode(&mut rest).ok()?),
            1 => {
                let fields = Vec::<u64>::decode(&mut rest).ok()?;
                let [domain, height] = fields[..] else { return None };
                Self::Demand { domain: u32::try_from(domain).ok()?, height }
            }
            _ => return None,
        };
        rest.is_empty().then_some(message)
    }
}
