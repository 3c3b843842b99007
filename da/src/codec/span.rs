//! The content of a span: a header, claims as differences to the claim before, bodies in columns.
//!
//! ```text
//! header   format | rules tag 4 | last header tag 4 | seal view, proof | parent tag 4 | first number
//! blocks   count | a byte of flags each | time since the block before each | candidates each
//! columns  a bit for each that is not empty | their lengths | their bytes in order: rare changes,
//!          what comes in from members, those of `columns`
//! ```
//! Numbers are varints, and lengths are. A proof of 65 bytes that ends in 27 or 28 and has its top
//! bit of `s` free is a 0 and 64 bytes (EIP-2098); any other its length + 1 and its bytes. What
//! follows from the bodies or from the claim before is not carried: identity, parents, roots.

use alloy_primitives::{B256, Bytes};
use alloy_rlp::{Decodable, Encodable};
use causeway_chainspec::metalayer::{MAX_ANCHORS, MAX_FLOWS, MAX_ITEMS, MAX_LANES};
use causeway_chainspec::posted::{Changes, Moved};
use causeway_chainspec::seal::MAX_PROOF_BYTES;
use causeway_chainspec::{
    Anchor, BlockBody, Inbound, Origin, PostedBlock, PostedSpan, Seal, Takeover,
};

use super::columns::{self, TxColumns, TxReader};
use super::wire::{Malformed, Reader, put};
use super::{CodecError, MAX_CONTENT_BYTES};

/// Most blocks of a span.
pub const MAX_BLOCKS: usize = 1 << 14;
/// Most candidates of a span.
pub const MAX_CANDIDATES: usize = 1 << 20;
/// Most bytes of a takeover (RLP).
pub const MAX_TAKEOVER_BYTES: usize = 16 << 10;
/// Most takeovers inside one another: hashing a claim costs exponentially many steps in it.
pub const MAX_TAKEOVER_DEPTH: usize = 4;

// Flags of a block: what differs from the block before.
const ORIGIN: u8 = 1;
const CUT: u8 = 1 << 1;
const LANE: u8 = 1 << 2;
const ANCHORS: u8 = 1 << 3;
const TAKEOVER: u8 = 1 << 4;
const TERM: u8 = 1 << 5;
const INBOUND: u8 = 1 << 6;

/// How transactions are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Format {
    /// As they are.
    Opaque = 0,
    /// Ethereum's in columns, others as they are.
    Ethereum = 1,
}

/// The format for a VM by its name in the spec. Every VM of this binary keeps Ethereum's envelope.
pub(super) fn format_of(vm: &str) -> Format {
    match vm {
        "evm" | "wasm" | "ledger" => Format::Ethereum,
        _ => Format::Opaque,
    }
}

/// Columns beside those of the transactions: rare changes, and what comes in from members.
const OWN: usize = 2;

/// The columns of a span being written.
#[derive(Debug)]
pub(super) struct Content {
    format: Format,
    flags: Vec<u8>,
    times: Vec<u8>,
    counts: Vec<u8>,
    rare: Vec<u8>,
    inbound: Vec<u8>,
    txs: TxColumns,
}

impl Content {
    pub(super) fn new(format: Format) -> Self {
        Self {
            format,
            flags: Vec::new(),
            times: Vec::new(),
            counts: Vec::new(),
            rare: Vec::new(),
            inbound: Vec::new(),
            txs: TxColumns::default(),
        }
    }

    /// Adds a block.
    pub(super) fn push(&mut self, block: &PostedBlock) -> Result<(), CodecError> {
        let body = &block.body;
        most("candidates", self.txs.count() + body.candidates.len(), MAX_CANDIDATES)?;
        let bytes: usize = body.candidates.iter().map(|raw| raw.len()).sum();
        most("transaction bytes", self.txs.bytes() + bytes, columns::MAX_BYTES)?;
        self.push_head(block)?;
        for raw in &body.candidates {
            self.txs.push(raw, self.format == Format::Ethereum);
        }
        Ok(())
    }

    /// Adds a block without its candidates.
    fn push_head(&mut self, block: &PostedBlock) -> Result<(), CodecError> {
        let PostedBlock { changes, anchors, takeover, body, .. } = block;
        most("blocks", self.flags.len() + 1, MAX_BLOCKS)?;
        put(&mut self.times, changes.elapsed_ms);
        put(&mut self.counts, body.candidates.len() as u64);
        let mut flags = self.push_changes(changes);
        if !anchors.is_empty() {
            flags |= ANCHORS;
            most("anchors", anchors.len(), MAX_ANCHORS)?;
            put_rlp(&mut self.rare, anchors);
        }
        if let Some(takeover) = takeover {
            flags |= TAKEOVER;
            most("takeovers in a takeover", depth(takeover), MAX_TAKEOVER_DEPTH)?;
            most("takeover bytes", put_rlp(&mut self.rare, takeover), MAX_TAKEOVER_BYTES)?;
        }
        if !body.inbound.is_empty() {
            flags |= INBOUND;
            most("inbound parts", body.inbound.len(), MAX_ANCHORS)?;
            put(&mut self.inbound, body.inbound.len() as u64);
            for inbound in &body.inbound {
                most_of(inbound)?;
                put_rlp(&mut self.inbound, inbound);
            }
        }
        self.flags.push(flags);
        Ok(())
    }

    fn push_changes(&mut self, changes: &Changes) -> u8 {
        let mut flags = 0;
        if changes.term != 0 {
            flags |= TERM;
            put(&mut self.rare, changes.term);
        }
        if let Some(origin) = changes.origin {
            flags |= ORIGIN;
            put(&mut self.rare, origin.number);
            self.rare.extend_from_slice(origin.hash.as_slice());
        }
        for (flag, moved) in [(CUT, changes.cut), (LANE, changes.lane)] {
            if let Some(Moved { by, hash }) = moved {
                flags |= flag;
                put(&mut self.rare, by);
                self.rare.extend_from_slice(hash.as_slice());
            }
        }
        flags
    }

    fn columns(&self) -> impl Iterator<Item = &[u8]> {
        [&self.rare, &self.inbound].into_iter().map(Vec::as_slice).chain(self.txs.columns())
    }

    /// Upper bound of the content's size with a proof of `proof_bytes`.
    pub(super) fn size_bound(&self, proof_bytes: usize) -> usize {
        // Format, three tags, view, proof length, number, count, bits, a length for each column.
        let header = 1 + 3 * 4 + 3 * 10 + 2 * 3 + proof_bytes;
        let blocks = self.flags.len() + self.times.len() + self.counts.len();
        header + blocks + self.columns().map(|column| column.len() + 4).sum::<usize>()
    }

    /// How many bytes at the end of the content do not compress.
    pub(super) fn noise_bytes(&self) -> usize {
        self.txs.columns().skip(columns::COUNT - columns::NOISE).map(<[u8]>::len).sum()
    }

    /// The content with the header of `span`, whose blocks were pushed.
    pub(super) fn finish(&self, span: &PostedSpan) -> Result<Vec<u8>, CodecError> {
        if self.flags.is_empty() {
            return Err(CodecError::Empty);
        }
        most("seal bytes", span.seal.proof.len(), MAX_PROOF_BYTES)?;
        let mut out = Vec::with_capacity(self.size_bound(span.seal.proof.len()));
        self.put_header(&mut out, span);
        put(&mut out, self.flags.len() as u64);
        for each in [&self.flags, &self.times, &self.counts] {
            out.extend_from_slice(each);
        }
        let filled = self.columns().zip(0..).filter(|(column, _)| !column.is_empty());
        put(&mut out, filled.fold(0, |bits, (_, at)| bits | 1 << at));
        for column in self.columns().filter(|column| !column.is_empty()) {
            put(&mut out, column.len() as u64);
        }
        for column in self.columns() {
            out.extend_from_slice(column);
        }
        most("bytes", out.len(), MAX_CONTENT_BYTES)?;
        Ok(out)
    }

    fn put_header(&self, out: &mut Vec<u8>, span: &PostedSpan) {
        out.push(self.format as u8);
        out.extend_from_slice(span.rules.as_slice());
        out.extend_from_slice(span.last_header.as_slice());
        put_seal(out, &span.seal);
        out.extend_from_slice(span.parent.as_slice());
        put(out, span.number);
    }
}

/// Where the parity stands in a signature of 64 bytes.
const PARITY_AT: usize = 32;

fn put_seal(out: &mut Vec<u8>, seal: &Seal) {
    put(out, seal.view);
    match seal.proof.as_ref() {
        [words @ .., v @ (27 | 28)] if words.len() == 64 && words[PARITY_AT] < 0x80 => {
            out.push(0);
            let start = out.len();
            out.extend_from_slice(words);
            out[start + PARITY_AT] |= (v - 27) << 7;
        }
        proof => {
            put(out, proof.len() as u64 + 1);
            out.extend_from_slice(proof);
        }
    }
}

fn read_seal(reader: &mut Reader<'_>) -> Result<Seal, Malformed> {
    let view = reader.number()?;
    let proof = match reader.length()? {
        0 => {
            let mut proof = reader.take(64)?.to_vec();
            let v = 27 + (proof[PARITY_AT] >> 7);
            proof[PARITY_AT] &= 0x7f;
            proof.push(v);
            proof.into()
        }
        above if above > MAX_PROOF_BYTES + 1 => return Err(Malformed("seal too long")),
        above => Bytes::copy_from_slice(reader.take(above - 1)?),
    };
    Ok(Seal { view, proof })
}

fn most(what: &'static str, have: usize, most: usize) -> Result<(), CodecError> {
    if have > most { Err(CodecError::TooLarge { what, have, most }) } else { Ok(()) }
}

/// The bounds that decoding checks while it reads.
fn most_of(inbound: &Inbound) -> Result<(), CodecError> {
    most("lanes of a member", inbound.lanes.len(), MAX_LANES)?;
    for lane in &inbound.lanes {
        most("assets of a lane", lane.flows.len(), MAX_FLOWS)?;
    }
    most("items of a member", inbound.items.len(), MAX_ITEMS)
}

fn depth(takeover: &Takeover) -> usize {
    std::iter::successors(Some(takeover), |inner| inner.abandoned.takeover.as_ref()).count()
}

fn put_counted(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// RLP with its length in front; returns that length.
fn put_rlp<T: Encodable>(out: &mut Vec<u8>, value: &T) -> usize {
    let bytes = alloy_rlp::encode(value);
    put_counted(out, &bytes);
    bytes.len()
}

/// Reads a content and refuses it unless it is the one that [`Content`] writes for what it says.
pub(super) fn parse(content: &[u8], identity: B256) -> Result<PostedSpan, Malformed> {
    let reader = &mut Reader::new(content);
    let format = match reader.byte()? {
        0 => Format::Opaque,
        1 => Format::Ethereum,
        _ => return Err(Malformed("unknown transaction format")),
    };
    let (rules, last_header) = (reader.tag()?, reader.tag()?);
    let seal = read_seal(reader)?;
    let (parent, number) = (reader.tag()?, reader.number()?);
    let header = &content[..content.len() - reader.rest().len()];
    let mut columns = Columns::new(reader, format)?;
    if !reader.is_empty() {
        return Err(Malformed("bytes after the last column"));
    }
    let (flags, rare, inbound) = (columns.flags, columns.rare.rest(), columns.inbound.rest());
    let blocks = columns.blocks()?;
    if !columns.txs.is_done() {
        return Err(Malformed("bytes that no transaction has"));
    }
    let span = PostedSpan { identity, rules, parent, number, blocks, seal, last_header };
    if number == 0 || span.last().is_none() {
        return Err(Malformed("number too large, or that of genesis"));
    }
    // Numbers have one form, and transactions were checked one by one. The rest is written again.
    let (mut again, mut header_again) = (Content::new(format), Vec::new());
    again.put_header(&mut header_again, &span);
    for block in &span.blocks {
        again.push_head(block).map_err(|_| Malformed("more of something than may be"))?;
    }
    let written = [&header_again, &again.flags, &again.rare, &again.inbound];
    if written.map(Vec::as_slice) == [header, flags, rare, inbound] {
        Ok(span)
    } else {
        Err(Malformed("not the canonical encoding"))
    }
}

/// The columns of a span being read.
struct Columns<'a> {
    flags: &'a [u8],
    times: Vec<u64>,
    counts: Vec<u64>,
    rare: Reader<'a>,
    inbound: Reader<'a>,
    txs: TxReader<'a>,
}

impl<'a> Columns<'a> {
    fn new(reader: &mut Reader<'a>, format: Format) -> Result<Self, Malformed> {
        let blocks = reader.length()?;
        if blocks == 0 || blocks > MAX_BLOCKS {
            return Err(Malformed("no blocks, or too many"));
        }
        let flags = reader.take(blocks)?;
        let mut numbers = || (0..blocks).map(|_| reader.number()).collect::<Result<Vec<_>, _>>();
        let (times, counts) = (numbers()?, numbers()?);
        let filled = reader.number()?;
        let mut lengths = [0; OWN + columns::COUNT];
        if filled >> lengths.len() != 0 {
            return Err(Malformed("unknown column"));
        }
        for (at, length) in lengths.iter_mut().enumerate() {
            if filled >> at & 1 == 1 {
                *length = reader.length()?;
                if *length == 0 {
                    return Err(Malformed("empty column"));
                }
            }
        }
        let mut all = [Reader::new(&[]); OWN + columns::COUNT];
        for (column, length) in all.iter_mut().zip(lengths) {
            *column = Reader::new(reader.take(length)?);
        }
        let [rare, inbound, txs @ ..] = all;
        let txs = TxReader::new(txs, format == Format::Ethereum);
        if txs.left() > MAX_CANDIDATES {
            return Err(Malformed("too many candidates"));
        }
        Ok(Self { flags, times, counts, rare, inbound, txs })
    }

    fn blocks(&mut self) -> Result<Vec<PostedBlock>, Malformed> {
        let mut blocks = Vec::with_capacity(self.flags.len());
        for at in 0..self.flags.len() {
            let flags = self.flags[at];
            if self.times[at] == 0 {
                return Err(Malformed("two blocks of one time"));
            }
            let changes = self.changes(flags, self.times[at])?;
            let (anchors, takeover) = self.extras(flags)?;
            let body = self.body(flags, self.counts[at])?;
            blocks.push(PostedBlock {
                changes,
                anchors,
                takeover,
                inbound_root: body.inbound_root(),
                candidates_root: body.candidates_root(),
                body,
            });
        }
        Ok(blocks)
    }

    fn changes(&mut self, flags: u8, elapsed_ms: u64) -> Result<Changes, Malformed> {
        let rare = &mut self.rare;
        let term = if flags & TERM != 0 { rare.number()? } else { 0 };
        let mut origin = None;
        if flags & ORIGIN != 0 {
            origin = Some(Origin { number: rare.number()?, hash: rare.hash()? });
        }
        let mut moved = |flag: u8| -> Result<Option<Moved>, Malformed> {
            if flags & flag == 0 {
                return Ok(None);
            }
            Ok(Some(Moved { by: rare.number()?, hash: rare.hash()? }))
        };
        Ok(Changes { elapsed_ms, term, origin, cut: moved(CUT)?, lane: moved(LANE)? })
    }

    fn extras(&mut self, flags: u8) -> Result<(Vec<Anchor>, Option<Takeover>), Malformed> {
        let rare = &mut self.rare;
        let anchors = if flags & ANCHORS != 0 { rlp(rare.take_counted()?)? } else { Vec::new() };
        let mut takeover = None;
        if flags & TAKEOVER != 0 {
            let bytes = rare.take_counted()?;
            // Before decoding, since decoding recurses; the depth before hashing, since hashing does.
            if bytes.len() > MAX_TAKEOVER_BYTES {
                return Err(Malformed("takeover too long"));
            }
            takeover = Some(rlp::<Takeover>(bytes)?);
            if takeover.as_ref().map_or(0, depth) > MAX_TAKEOVER_DEPTH {
                return Err(Malformed("takeover too deep"));
            }
        }
        Ok((anchors, takeover))
    }

    fn body(&mut self, flags: u8, candidates: u64) -> Result<BlockBody, Malformed> {
        let mut body = BlockBody::default();
        if flags & INBOUND != 0 {
            let count = self.inbound.length()?;
            if count > MAX_ANCHORS {
                return Err(Malformed("too many inbound parts"));
            }
            for _ in 0..count {
                body.inbound.push(rlp(self.inbound.take_counted()?)?);
            }
        }
        let count = usize::try_from(candidates).unwrap_or(usize::MAX);
        if count > self.txs.left() {
            return Err(Malformed("too few candidates"));
        }
        // All of a block's in one piece.
        let mut bytes = Vec::with_capacity((count << 7).min(1 << 18));
        let mut ends = Vec::with_capacity(count);
        for _ in 0..count {
            self.txs.next(&mut bytes)?;
            ends.push(bytes.len());
        }
        bytes.shrink_to_fit();
        let (bytes, mut start) = (Bytes::from(bytes), 0);
        let slice = |end| bytes.slice(std::mem::replace(&mut start, end)..end);
        body.candidates = ends.into_iter().map(slice).collect();
        Ok(body)
    }
}

fn rlp<T: Decodable>(mut bytes: &[u8]) -> Result<T, Malformed> {
    let value = T::decode(&mut bytes).map_err(|_| Malformed("rlp"))?;
    if bytes.is_empty() { Ok(value) } else { Err(Malformed("bytes after rlp")) }
}
