//! What a sequencer posts: consecutive sealed blocks above the safe head, in one span.

use causeway_chainspec::{Span, SpanBlock};

use super::{Node, NodeError};

/// Claims and bodies of one span, before compression; it is cut at the first block above.
const SPAN_BYTES: usize = 4 * 1024 * 1024;

/// Most blocks of one span.
const SPAN_BLOCKS: u64 = 4096;

impl Node {
    /// The blocks from a number on that go into one span, with the seal over the last; `None` if
    /// there is no sealed block with that number.
    pub fn span_from(&self, from: u64) -> Result<Option<Span>, NodeError> {
        let snapshot = self.pipeline.snapshot();
        let mut blocks = Vec::new();
        let mut last = None;
        let mut bytes = 0;
        for number in from..from.saturating_add(SPAN_BLOCKS) {
            let Some(block) = snapshot.block(number)? else { break };
            let body = &block.plan.body;
            bytes += body.candidates.iter().map(|bytes| bytes.len()).sum::<usize>() + 16;
            bytes += body.inbound.iter().map(|message| message.body.len() + 80).sum::<usize>();
            if bytes > SPAN_BYTES && last.is_some() {
                break;
            }
            blocks.push(SpanBlock { claim: block.plan.claim.clone(), body: body.clone() });
            if let Some(seal) = snapshot.seal(number)? {
                last = Some((blocks.len(), seal, block.hash, block.plan.claim.time_ms));
            }
        }
        // Blocks read back from DA have a seal only where a span ended.
        let Some((count, seal, last_header, time_ms)) = last else { return Ok(None) };
        blocks.truncate(count);
        let identity = self.spec.identity();
        let rules_hash = self.spec.rules_hash(time_ms);
        Ok(Some(Span { identity, rules_hash, blocks, seal, last_header }))
    }
}
