//! The verified head survives restarts, and follows unwinds.

use std::fs;
use std::sync::Arc;

use causeway_chainspec::spec::presets::{Keys, devnet_chain};
use causeway_chainspec::spec::{Inputs, parse};
use causeway_chainspec::{Block, BlockBody, BlockPlan, ChainSpec, Claim};
use causeway_execution::PipelineConfig;
use tempfile::TempDir;

use super::*;

const T0: u64 = 1_750_000_000_000;

struct Chain {
    dir: TempDir,
    pipeline: Pipeline,
    height: u64,
}

impl Chain {
    fn new() -> Self {
        let text = devnet_chain("verified", 901, "ledger", Keys::DEV, T0);
        let (spec, _) = parse(&text, &Inputs::NONE).unwrap();
        let dir = TempDir::new().unwrap();
        let pipeline = Self::open(&dir, Arc::new(spec));
        Self { dir, pipeline, height: 0 }
    }

    fn open(dir: &TempDir, spec: Arc<ChainSpec>) -> Pipeline {
        Pipeline::open(PipelineConfig {
            datadir: dir.path().into(),
            spec,
            modules: Vec::new(),
            archive: false,
            address_index: None,
            history_blocks: 128,
            cache_bytes: 8 << 20,
        })
        .unwrap()
        .0
    }

    /// Adds a block, so many ms after the newest.
    fn block(&self, after_ms: u64) -> Arc<Block> {
        let snapshot = self.pipeline.snapshot();
        let parent = snapshot.block(snapshot.latest().number).unwrap().unwrap();
        let before = &parent.plan.claim;
        let claim = Claim {
            number: before.number + 1,
            parent: parent.claim_hash,
            time_ms: before.time_ms + after_ms,
            ..before.clone()
        };
        let plan = BlockPlan::new(claim, BlockBody::default(), vec![], &|_| None);
        let block = self.pipeline.execute(plan).unwrap();
        self.pipeline.commit(block.claim_hash, None, None).unwrap();
        block
    }

    /// Makes blocks safe and final up to these numbers.
    fn heads(&mut self, safe: u64, finalized: u64) {
        self.height += 1;
        self.pipeline.derived(self.height, Default::default(), safe, finalized).unwrap();
    }

    fn verified(&self) -> VerifiedHead {
        VerifiedHead::open(self.dir.path().into(), &self.pipeline).unwrap()
    }
}

fn all_true(_: &[Anchor]) -> Truth {
    Truth::True
}

impl VerifiedHead {
    fn to(&self, chain: &Chain) -> u64 {
        self.advance(&chain.pipeline.snapshot(), &all_true).unwrap();
        let head = self.state.lock().head;
        assert_eq!(Some(head), chain.pipeline.snapshot().id(head.number).unwrap());
        head.number
    }
}

#[test]
fn it_follows_the_safe_head_and_is_there_after_a_restart() {
    let mut chain = Chain::new();
    (0..4).for_each(|_| drop(chain.block(250)));
    let verified = chain.verified();
    assert_eq!(verified.to(&chain), 0, "nothing is safe");
    chain.heads(3, 1);
    let advanced = verified.advance(&chain.pipeline.snapshot(), &all_true).unwrap();
    assert_eq!(advanced, Advanced { moved: true, changed: true, news: None });
    let again = verified.advance(&chain.pipeline.snapshot(), &all_true).unwrap();
    assert_eq!(again, Advanced { moved: false, changed: false, news: None });
    let state = verified.state.lock().clone();
    assert_eq!((state.head.number, state.floor), (3, 1));
    let text = fs::read_to_string(chain.dir.path().join(FILE)).unwrap();
    assert_eq!(*chain.verified().state.lock(), state, "{text}");
    assert!(!chain.dir.path().join("verified.new").exists());
}

#[test]
fn what_holds_it_is_told_once_and_passes() {
    let mut chain = Chain::new();
    (0..3).for_each(|_| drop(chain.block(250)));
    chain.heads(3, 0);
    let verified = chain.verified();
    let snapshot = chain.pipeline.snapshot();
    let asked = std::cell::Cell::new(0);
    let third_is = |truth: Truth| {
        asked.set(0);
        let judge = move |_: &[Anchor]| truth.clone();
        move |asked: &std::cell::Cell<u64>, anchors: &[Anchor]| {
            asked.set(asked.get() + 1);
            if asked.get() == 3 { judge(anchors) } else { Truth::True }
        }
    };
    let gone = Truth::Pruned("gone".into());
    let judge = third_is(gone.clone());
    let advanced = verified.advance(&snapshot, &|anchors| judge(&asked, anchors)).unwrap();
    assert_eq!(advanced, Advanced { moved: true, changed: true, news: Some(gone.clone()) });
    assert_eq!(verified.state.lock().head.number, 2);
    let still = verified.advance(&snapshot, &|_| gone.clone()).unwrap();
    assert_eq!(still, Advanced { moved: false, changed: false, news: None });
    let false_now = verified.advance(&snapshot, &|_| Truth::False("it is 7".into())).unwrap();
    assert_eq!(false_now.news, Some(Truth::False("it is 7".into())));
    assert!(!false_now.moved && false_now.changed);
    assert_eq!(verified.to(&chain), 3);
    assert_eq!(verified.state.lock().held, None);
}

#[test]
fn it_goes_back_with_the_chain() {
    let mut chain = Chain::new();
    (0..6).for_each(|_| drop(chain.block(250)));
    chain.heads(5, 2);
    let verified = chain.verified();
    assert_eq!(verified.to(&chain), 5);
    // DA went back: the blocks are still there, and not safe.
    chain.pipeline.underive(0, 3).unwrap();
    assert_eq!(verified.to(&chain), 3);
    chain.heads(5, 2);
    assert_eq!(verified.to(&chain), 5);
    // Other blocks from 4 on, and by now they are final: of those nothing was checked.
    chain.pipeline.unwind(3).unwrap();
    (0..3).for_each(|_| drop(chain.block(300)));
    chain.heads(6, 5);
    let none = |_: &[Anchor]| Truth::NotYet("nothing is known".into());
    let reopened = chain.verified();
    for verified in [&verified, &reopened] {
        verified.advance(&chain.pipeline.snapshot(), &none).unwrap();
        assert_eq!(verified.state.lock().head.number, 2, "the newest that was final then");
    }
    assert_eq!(verified.to(&chain), 6);
    // Shorter than what was verified.
    let mut short = Chain::new();
    short.block(100);
    short.heads(1, 1);
    let verified = VerifiedHead { folder: short.dir.path().into(), ..verified };
    assert_eq!(verified.to(&short), 1);
}

#[test]
fn a_file_that_is_no_head_is_refused() {
    let chain = Chain::new();
    let verified = chain.verified();
    verified.save(&block_id(&chain.pipeline.snapshot(), 0).unwrap(), 0).unwrap();
    let path = chain.dir.path().join(FILE);
    let text = fs::read_to_string(&path).unwrap();
    for bad in
        ["", "\n", text.trim_end(), &text[1..], &text.replace(' ', "  "), &format!("{text}1\n")]
    {
        fs::write(&path, bad).unwrap();
        let result = VerifiedHead::open(chain.dir.path().into(), &chain.pipeline);
        assert!(matches!(result, Err(ExecutionError::Damaged(_))), "{bad:?}");
    }
}
