//! The content of a span: a header, claims as differences to the claim before, bodies in columns.
//!
//! Header: format byte, rules hash, last header hash, seal (view, proof), first parent, first
//! number. Then every column with its length in front. Numbers are varints. What follows from the
//! bodies or from the claim before is not carried: identity, parents, roots.

use alloy_primitives::{B256, Bytes};
use alloy_rlp::{Decodable, Encodable};
use causeway_chainspec::metalayer::{MAX_ANCHORS, MAX_FLOWS, MAX_ITEMS, MAX_LANES};
use causeway_chainspec::seal::MAX_PROOF_BYTES;
use causeway_chainspec::{
    Anchor, BlockBody, Claim, ForcedCut, Inbound, Origin, Seal, Span, SpanBlock, Takeover,
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

// Flags of a block: what differs from the block before (before the first: all zero and none).
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

/// What the next block is compared with.
#[derive(Debug, Clone, Copy, Default)]
struct Last {
    number: u64,
    term: u64,
    time_ms: u64,
    origin: Option<Origin>,
    cut: ForcedCut,
}

impl Last {
    fn after(claim: &Claim) -> Self {
        let Claim { number, term, time_ms, origin, cut, .. } = *claim;
        Self { number, term, time_ms, origin, cut }
    }
}

/// The columns of a span being written.
#[derive(Debug)]
pub(super) struct Content {
    format: Format,
    last: Option<Last>,
    times: Vec<u8>,
    flags: Vec<u8>,
    counts: Vec<u8>,
    rare: Vec<u8>,
    inbound: Vec<u8>,
    txs: TxColumns,
}

impl Content {
    pub(super) fn new(format: Format) -> Self {
        Self {
            format,
            last: None,
            times: Vec::new(),
            flags: Vec::new(),
            counts: Vec::new(),
            rare: Vec::new(),
            inbound: Vec::new(),
            txs: TxColumns::default(),
        }
    }

    /// Adds a block. Refuses what the format cannot say because the protocol forbids it.
    pub(super) fn push(&mut self, block: &SpanBlock) -> Result<(), CodecError> {
        let SpanBlock { claim, body } = block;
        let unlinked = |what| CodecError::Unlinked { number: claim.number, what };
        let last = self.last.unwrap_or_default();
        if self.last.is_some() && last.number.checked_add(1) != Some(claim.number) {
            return Err(unlinked("is not the next number"));
        }
        let elapsed = claim.time_ms.checked_sub(last.time_ms);
        let elapsed = elapsed
            .filter(|elapsed| *elapsed > 0 || self.last.is_none())
            .ok_or(unlinked("has no later time"))?;
        most("blocks", self.flags.len() + 1, MAX_BLOCKS)?;
        most("candidates", self.txs.count() + body.candidates.len(), MAX_CANDIDATES)?;

        put(&mut self.times, elapsed);
        put(&mut self.counts, body.candidates.len() as u64);
        let mut flags = self.push_changes(claim, &last)?;
        if !claim.anchors.is_empty() {
            flags |= ANCHORS;
            most("anchors", claim.anchors.len(), MAX_ANCHORS)?;
            put_rlp(&mut self.rare, &claim.anchors);
        }
        if let Some(takeover) = &claim.takeover {
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
        for raw in &body.candidates {
            self.txs.push(raw, self.format == Format::Ethereum);
        }
        self.last = Some(Last::after(claim));
        Ok(())
    }

    /// Writes the fields that differ from the claim before.
    fn push_changes(&mut self, claim: &Claim, last: &Last) -> Result<u8, CodecError> {
        let unlinked = |what| CodecError::Unlinked { number: claim.number, what };
        let mut flags = 0;
        if claim.term != last.term {
            flags |= TERM;
            let step = claim.term.checked_sub(last.term).ok_or(unlinked("has a lower term"))?;
            put(&mut self.rare, step);
        }
        if claim.origin != last.origin {
            flags |= ORIGIN;
            let origin = claim.origin.ok_or(unlinked("drops the origin"))?;
            put(&mut self.rare, origin.number);
            self.rare.extend_from_slice(origin.hash.as_slice());
        }
        let (cut, before) = (claim.cut, last.cut);
        if cut.da != before.da {
            flags |= CUT;
            let step = cut.da.height.checked_sub(before.da.height);
            put(&mut self.rare, step.ok_or(unlinked("has a lower cut"))?);
            self.rare.extend_from_slice(cut.da.hash.as_slice());
        }
        if cut.lane != before.lane {
            flags |= LANE;
            let step = cut.lane.count.checked_sub(before.lane.count);
            put(&mut self.rare, step.ok_or(unlinked("has a lower lane count"))?);
            self.rare.extend_from_slice(cut.lane.accumulator.as_slice());
        }
        Ok(flags)
    }

    fn columns(&self) -> impl Iterator<Item = &[u8]> {
        let own = [&self.times, &self.flags, &self.counts, &self.rare, &self.inbound];
        own.into_iter().map(Vec::as_slice).chain(self.txs.columns())
    }

    /// Upper bound of the content's size with a proof of `proof_bytes`.
    pub(super) fn size_bound(&self, proof_bytes: usize) -> usize {
        // Format, three hashes, view, proof length, number, and a length for each column.
        let header = 1 + 3 * 32 + 3 * 10 + proof_bytes;
        header + self.columns().map(|column| column.len() + 4).sum::<usize>()
    }

    /// The content with the header of `span`, whose blocks were pushed.
    pub(super) fn finish(&self, span: &Span) -> Result<Vec<u8>, CodecError> {
        let first = &span.blocks.first().ok_or(CodecError::Empty)?.claim;
        most("seal bytes", span.seal.proof.len(), MAX_PROOF_BYTES)?;
        let mut out = Vec::with_capacity(self.size_bound(span.seal.proof.len()));
        out.push(self.format as u8);
        out.extend_from_slice(span.rules_hash.as_slice());
        out.extend_from_slice(span.last_header.as_slice());
        put(&mut out, span.seal.view);
        put_counted(&mut out, &span.seal.proof);
        out.extend_from_slice(first.parent.as_slice());
        put(&mut out, first.number);
        for column in self.columns() {
            put_counted(&mut out, column);
        }
        most("bytes", out.len(), MAX_CONTENT_BYTES)?;
        Ok(out)
    }
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

/// Reads a content and checks that it is the one [`Content`] writes for what it says.
pub(super) fn parse(content: &[u8], identity: B256) -> Result<Span, Malformed> {
    let reader = &mut Reader::new(content);
    let format = match reader.byte()? {
        0 => Format::Opaque,
        1 => Format::Ethereum,
        _ => return Err(Malformed("unknown transaction format")),
    };
    let (rules_hash, last_header) = (reader.hash()?, reader.hash()?);
    let view = reader.number()?;
    let proof = reader.take_counted()?;
    if proof.len() > MAX_PROOF_BYTES {
        return Err(Malformed("seal too long"));
    }
    let seal = Seal { view, proof: Bytes::copy_from_slice(proof) };
    let (parent, number) = (reader.hash()?, reader.number()?);
    let mut columns = Columns::new(reader)?;
    if !reader.is_empty() {
        return Err(Malformed("bytes after the last column"));
    }
    let blocks = columns.blocks(identity, parent, number)?;
    let span = Span { identity, rules_hash, blocks, seal, last_header };
    let mut again = Content::new(format);
    for block in &span.blocks {
        again.push(block).map_err(|_| Malformed("forbidden step between blocks"))?;
    }
    match again.finish(&span) {
        Ok(bytes) if bytes == content => Ok(span),
        _ => Err(Malformed("not the canonical encoding")),
    }
}

/// The columns of a span being read.
struct Columns<'a> {
    times: Reader<'a>,
    flags: &'a [u8],
    counts: Reader<'a>,
    rare: Reader<'a>,
    inbound: Reader<'a>,
    txs: TxReader<'a>,
}

impl<'a> Columns<'a> {
    fn new(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let mut column = || reader.take_counted().map(Reader::new);
        let (times, flags, counts) = (column()?, column()?.rest(), column()?);
        let (rare, inbound) = (column()?, column()?);
        let mut txs = [Reader::new(&[]); columns::COUNT];
        for tx_column in &mut txs {
            *tx_column = column()?;
        }
        if flags.is_empty() || flags.len() > MAX_BLOCKS {
            return Err(Malformed("no blocks, or too many"));
        }
        let txs = TxReader::new(txs);
        if txs.count() > MAX_CANDIDATES {
            return Err(Malformed("too many candidates"));
        }
        Ok(Self { times, flags, counts, rare, inbound, txs })
    }

    fn blocks(
        &mut self,
        identity: B256,
        mut parent: B256,
        first: u64,
    ) -> Result<Vec<SpanBlock>, Malformed> {
        let mut blocks = Vec::with_capacity(self.flags.len());
        let mut last = Last::default();
        for (index, &flags) in self.flags.iter().enumerate() {
            let number = first.checked_add(index as u64).ok_or(Malformed("number too large"))?;
            last.number = number;
            let (anchors, takeover) = self.changes(flags, &mut last)?;
            let body = self.body(flags)?;
            let claim = Claim {
                identity,
                number,
                term: last.term,
                parent,
                time_ms: last.time_ms,
                origin: last.origin,
                cut: last.cut,
                anchors,
                inbound_root: body.inbound_root(),
                candidates_root: body.candidates_root(),
                takeover,
            };
            parent = claim.hash();
            blocks.push(SpanBlock { claim, body });
        }
        // Bytes left in any column would not be written again: the comparison finds them.
        Ok(blocks)
    }

    fn changes(
        &mut self,
        flags: u8,
        last: &mut Last,
    ) -> Result<(Vec<Anchor>, Option<Takeover>), Malformed> {
        let (times, rare) = (&mut self.times, &mut self.rare);
        last.time_ms = add(last.time_ms, times)?;
        if flags & TERM != 0 {
            last.term = add(last.term, rare)?;
        }
        if flags & ORIGIN != 0 {
            last.origin = Some(Origin { number: rare.number()?, hash: rare.hash()? });
        }
        if flags & CUT != 0 {
            last.cut.da.height = add(last.cut.da.height, rare)?;
            last.cut.da.hash = rare.hash()?;
        }
        if flags & LANE != 0 {
            last.cut.lane.count = add(last.cut.lane.count, rare)?;
            last.cut.lane.accumulator = rare.hash()?;
        }
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

    fn body(&mut self, flags: u8) -> Result<BlockBody, Malformed> {
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
        for _ in 0..self.counts.length()? {
            body.candidates.push(self.txs.next()?);
        }
        Ok(body)
    }
}

fn add(value: u64, step: &mut Reader<'_>) -> Result<u64, Malformed> {
    value.checked_add(step.number()?).ok_or(Malformed("number too large"))
}

fn rlp<T: Decodable>(mut bytes: &[u8]) -> Result<T, Malformed> {
    let value = T::decode(&mut bytes).map_err(|_| Malformed("rlp"))?;
    if bytes.is_empty() { Ok(value) } else { Err(Malformed("bytes after rlp")) }
}
