//! What a sequencer posts: consecutive sealed blocks above the safe head, in one span.

use causeway_chainspec::{Inbound, Span, SpanBlock, Tip};

use super::{Node, NodeError};

/// Most blocks of one span.
const SPAN_BLOCKS: u64 = 4096;

impl Node {
    /// The blocks from a number on that go into one span, with the seal over the last; `None` if
    /// no block from there on is sealed.
    /// Its bodies have at most `most_bytes` before compression, unless the first alone has more.
    pub fn span_from(&self, from: u64, most_bytes: usize) -> Result<Option<Span>, NodeError> {
        let snapshot = self.pipeline.snapshot();
        let Some(below) = snapshot.block(from.saturating_sub(1))? else { return Ok(None) };
        let parent = Tip::of(&below.plan.claim);
        let mut blocks = Vec::new();
        let mut last = None;
        let mut bytes = 0;
        for number in from..from.saturating_add(SPAN_BLOCKS) {
            let Some(block) = snapshot.block(number)? else { break };
            let body = &block.plan.body;
            bytes += body.candidates.iter().map(|bytes| bytes.len()).sum::<usize>() + 16;
            bytes += body.inbound.iter().map(Inbound::size).sum::<usize>();
            if bytes > most_bytes && last.is_some() {
                break;
            }
            blocks.push(SpanBlock { claim: block.plan.claim.clone(), body: body.clone() });
            // Blocks that came from DA have one seal a span.
            if let Some(seal) = snapshot.seal(number)? {
                last = Some((blocks.len(), seal, block.hash, block.plan.claim.time_ms));
            }
        }
        let Some((count, seal, last_header, time_ms)) = last else { return Ok(None) };
        blocks.truncate(count);
        let identity = self.spec.identity();
        let rules_hash = self.spec.rules_hash(time_ms);
        Ok(Some(Span { identity, rules_hash, parent, blocks, seal, last_header }))
    }
}
