//! Anybody may write to our namespace: bad bytes are dropped and counted, at a bounded cost, and
//! the chain goes on as if they were not there.

use std::sync::Arc;

use alloy_primitives::{Bytes, keccak256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use causeway_da::DaBackend;
use causeway_da::codec::{
    self, Compression, ENVELOPE_BYTES, EncodeOptions, IDENTITY_BYTES, MAGIC, PART_ENVELOPE_BYTES,
    VERSION,
};
use causeway_node::node::Node;
use causeway_tests::drive::holds;
use causeway_tests::keys;
use causeway_tests::txs::Rng;
use causeway_tests::world::{World, chain_of};
use eyre::ContextCompat;

/// An envelope written from its description, around any chunk: alone, or as a part of a span.
fn blob(
    world: &World,
    key: &PrivateKeySigner,
    part: Option<(u16, u16, [u8; 16])>,
    chunk: &[u8],
) -> Bytes {
    let identity = world.spec.identity();
    let (index, count, id) = part.unwrap_or((0, 1, [0; 16]));
    let mut digest = b"causeway/blob/1".to_vec();
    digest.extend_from_slice(identity.as_slice());
    digest.extend_from_slice(&id);
    digest.extend_from_slice(&index.to_be_bytes());
    digest.extend_from_slice(&count.to_be_bytes());
    digest.extend_from_slice(keccak256(chunk).as_slice());
    let signature = key.sign_hash_sync(&keccak256(digest)).expect("a local key signs");
    let mut blob = [&MAGIC[..], &[VERSION], &identity[..IDENTITY_BYTES]].concat();
    blob.extend_from_slice(&signature.as_erc2098());
    blob.push(u8::from(part.is_some()));
    if part.is_some() {
        blob.extend_from_slice(&index.to_be_bytes());
        blob.extend_from_slice(&count.to_be_bytes());
        blob.extend_from_slice(&id);
    }
    blob.extend_from_slice(chunk);
    blob.into()
}

/// A payload in one blob, properly signed.
fn signed(world: &World, payload: &[u8]) -> Bytes {
    blob(world, &keys::poster(), None, payload)
}

/// A zstd frame of 32 KiB that unpacks to a gibibyte, by RFC 8878: run-length blocks of 128 KiB.
fn bomb() -> Vec<u8> {
    let mut frame = vec![1, 0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x70];
    for last in (0..8192).map(|block| u32::from(block == 8191)) {
        let header = last | 1 << 1 | (128 << 10) << 3;
        frame.extend_from_slice(&header.to_le_bytes()[..3]);
        frame.push(0);
    }
    frame
}

struct Scene {
    world: World,
    sequencer: Arc<Node>,
    full: Arc<Node>,
    rng: Rng,
    nonce: u64,
}

impl Scene {
    async fn new() -> eyre::Result<Self> {
        let world = World::quick("ledger", 4)?;
        let (sequencer, full) = (world.sequencer()?, world.full("full")?);
        world.tick(&[&sequencer, &full]).await?;
        Ok(Self { world, sequencer, full, rng: Rng::new(11), nonce: 0 })
    }

    /// A block with transactions, not posted.
    async fn build(&mut self) -> eyre::Result<()> {
        for _ in 0..4 {
            let wei = u128::from(self.rng.number());
            self.sequencer.submit(self.world.transfer(0, self.nonce, wei)).await?;
            self.nonce += 1;
        }
        self.world.build(&self.sequencer).await?;
        Ok(())
    }

    /// Puts these into the next DA block. None may move a head; returns how many were dropped
    /// before they were taken for spans.
    async fn suffer(&self, blobs: Vec<Bytes>) -> eyre::Result<u64> {
        let (before, dropped) = (holds(&self.full), self.full.dropped_blobs());
        let chain = chain_of(&self.full)?;
        blobs.into_iter().for_each(|blob| self.world.da.inject(blob));
        self.world.tick(&[&self.full, &self.sequencer]).await?;
        let after = holds(&self.full);
        assert_eq!((before.latest, before.safe), (after.latest, after.safe), "heads moved");
        assert_eq!(chain_of(&self.full)?, chain);
        assert_eq!(self.sequencer.dropped_blobs(), self.full.dropped_blobs());
        Ok(self.full.dropped_blobs() - dropped)
    }

    /// The good span that comes next is taken.
    async fn goes_on(&self) -> eyre::Result<()> {
        self.world.publish(&self.sequencer, &[&self.sequencer, &self.full]).await?;
        let heads = holds(&self.full);
        assert_eq!(heads.safe, self.sequencer.heads().borrow().latest);
        assert_eq!(chain_of(&self.full)?, chain_of(&self.sequencer)?);
        Ok(())
    }

    /// The blobs of what is not posted, uncompressed, of so many bytes each.
    fn blobs(&self, max_blob_bytes: usize) -> eyre::Result<Vec<Bytes>> {
        let from = self.sequencer.heads().borrow().safe.number + 1;
        let span = self.sequencer.span_from(from, 4 << 20)?.context("nothing to post")?;
        let options = EncodeOptions { compression: Compression::None, level: 0 };
        let (vm, key) = (&self.world.spec.vm, keys::poster());
        Ok(codec::encode(&span, vm, &key, &options, max_blob_bytes)?)
    }
}

#[tokio::test]
async fn bytes_of_strangers_are_dropped() -> eyre::Result<()> {
    let mut scene = Scene::new().await?;
    scene.build().await?;
    let (poster, world) = (keys::poster(), &scene.world);
    let good = scene.blobs(128 << 10)?.remove(0);
    let payload = good[ENVELOPE_BYTES..].to_vec();
    let mut bad: Vec<Bytes> = Vec::new();

    // Garbage, with and without our first bytes.
    let identity = world.spec.identity();
    for size in 0..600 {
        let noise = scene.rng.bytes(size);
        let ours = [&MAGIC[..], &[VERSION], &identity[..IDENTITY_BYTES], &noise].concat();
        bad.extend([noise.into(), ours.into()]);
    }
    // The real blob, cut anywhere, and with any bit of its envelope flipped.
    bad.extend((0..good.len()).step_by(7).map(|at| good.slice(..at)));
    for bit in 0..8 * ENVELOPE_BYTES {
        let mut flipped = good.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        bad.push(flipped.into());
    }
    // Of another chain, another key, another version; without a signature; impossible places.
    let other =
        World::with_spec("ledger", |text| text.replace("chain_id = 901", "chain_id = 902"))?;
    bad.push(signed(&other, &payload));
    bad.push(blob(world, &keys::sequencer(), None, &payload));
    let id: [u8; 16] = keccak256(keccak256(&payload))[..16].try_into()?;
    for (index, count) in [(0, 1), (1, 1), (0, 0), (2, 2), (7, 65_535)] {
        bad.push(blob(world, &poster, Some((index, count, id)), &payload));
    }
    // Whole, and its id is another's.
    let (head, tail) = payload.split_at(payload.len() / 2);
    bad.push(blob(world, &poster, Some((0, 2, [1; 16])), head));
    bad.push(blob(world, &poster, Some((1, 2, [1; 16])), tail));
    let mut unsigned = good.to_vec();
    unsigned[ENVELOPE_BYTES - 65..ENVELOPE_BYTES - 1].fill(0);
    bad.push(unsigned.into());

    let count = bad.len() as u64;
    assert_eq!(scene.suffer(bad).await?, count);
    scene.goes_on().await
}

#[tokio::test]
async fn signed_payloads_that_are_no_span_are_dropped() -> eyre::Result<()> {
    let mut scene = Scene::new().await?;
    scene.build().await?;
    let payload = scene.blobs(128 << 10)?[0][ENVELOPE_BYTES..].to_vec();
    let mut bad = Vec::new();
    for kind in [0u8, 1, 2, 3, 255] {
        for size in 0..40 {
            let noise = [&[kind], scene.rng.bytes(size).as_slice()].concat();
            bad.push(signed(&scene.world, &noise));
        }
    }
    for at in (1..payload.len()).step_by(9) {
        bad.push(signed(&scene.world, &payload[..at]));
    }
    let longer = [&payload[..], &[0]].concat();
    bad.push(signed(&scene.world, &longer));
    let count = bad.len() as u64;
    assert_eq!(scene.suffer(bad).await?, count);
    scene.goes_on().await
}

/// Signed by the poster, and one byte of the span's content is another: some of these are spans,
/// and the seal stops them.
#[tokio::test]
async fn altered_spans_never_count() -> eyre::Result<()> {
    let mut scene = Scene::new().await?;
    for _ in 0..3 {
        scene.build().await?;
    }
    let payload = scene.blobs(128 << 10)?[0][ENVELOPE_BYTES..].to_vec();
    // Compression, format, tags of rules hash and last header: these two are only alarms, so that
    // whoever changes them has posted our span.
    let alarms = 2..10;
    let header = scene.sequencer.heads().borrow().latest.hash;
    assert_eq!(payload[6..10], header[..4], "the content begins otherwise than this test knows");
    let mut blobs = Vec::new();
    for at in (0..payload.len()).filter(|at| !alarms.contains(at)) {
        let mut altered = payload.clone();
        altered[at] = altered[at].wrapping_add(1 + scene.rng.below(255) as u8);
        blobs.push(signed(&scene.world, &altered));
    }
    assert!(blobs.len() > 300, "{} altered spans", blobs.len());
    let dropped = scene.suffer(blobs).await?;
    assert!(dropped > 0);
    scene.goes_on().await
}

#[tokio::test]
async fn chunks_out_of_order_and_repeated_are_one_span() -> eyre::Result<()> {
    let mut scene = Scene::new().await?;
    for _ in 0..3 {
        scene.build().await?;
    }
    let chunks = scene.blobs(PART_ENVELOPE_BYTES + 100)?;
    assert!(chunks.len() > 5, "{} chunks", chunks.len());
    // One of them is missing: nothing counts, in this block or with the rest in the next.
    let count = chunks.len() as u64;
    for missing in 0..chunks.len() {
        let mut some = chunks.clone();
        some.remove(missing);
        assert_eq!(scene.suffer(some).await?, count - 1);
    }
    assert_eq!(scene.suffer(chunks[..2].to_vec()).await?, 2);
    assert_eq!(scene.suffer(chunks[2..].to_vec()).await?, count - 2);
    // All of them, backwards, twice: the span counts once.
    let before = scene.full.dropped_blobs();
    for chunk in chunks.iter().rev().chain(&chunks) {
        scene.world.da.inject(chunk.clone());
    }
    scene.world.tick(&[&scene.sequencer, &scene.full]).await?;
    assert_eq!(holds(&scene.full).safe, scene.sequencer.heads().borrow().latest);
    assert_eq!(scene.full.dropped_blobs() - before, count);
    scene.build().await?;
    scene.goes_on().await
}

/// Memory this process has in use, in bytes.
fn resident_bytes() -> eyre::Result<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = statm.split(' ').nth(1).context("resident pages")?.parse()?;
    Ok(pages * 4096)
}

#[tokio::test]
async fn bombs_and_floods_cost_little() -> eyre::Result<()> {
    let mut scene = Scene::new().await?;
    scene.build().await?;
    let before = resident_bytes()?;
    // 40 gibibytes, were they unpacked. Each is another payload, so that none is a repeat.
    let bombs: Vec<_> = (0..40u8)
        .map(|number| {
            let mut payload = bomb();
            *payload.last_mut().expect("not empty") = number;
            signed(&scene.world, &payload)
        })
        .collect();
    assert_eq!(scene.suffer(bombs).await?, 40);
    for _ in 0..4 {
        let flood: Vec<Bytes> = (0..1_000)
            .map(|_| {
                let size = scene.rng.below(2_000) as usize;
                let noise = scene.rng.bytes(size);
                let id = scene.world.spec.identity();
                [&MAGIC[..], &[VERSION], &id[..IDENTITY_BYTES], &noise].concat().into()
            })
            .collect();
        assert_eq!(scene.suffer(flood).await?, 1_000);
    }
    let grown = resident_bytes()?.saturating_sub(before);
    // Other tests run in this process at the same time: a bomb that is held shows anyway.
    assert!(grown < 512 << 20, "{grown} bytes more in use");
    scene.goes_on().await
}

#[tokio::test]
async fn lost_and_repeated_submissions_do_no_harm() -> eyre::Result<()> {
    let mut scene = Scene::new().await?;
    for round in 0..6 {
        scene.build().await?;
        let blobs = scene.blobs(300)?;
        match round % 3 {
            0 => scene.world.da.duplicate_submissions(1),
            1 => scene.world.da.drop_submissions(1),
            _ => scene.world.da.lose_answers(1),
        }
        // A lost answer is an error of the call, not of what it did.
        let _lost = scene.world.da.submit(&blobs).await;
        scene.world.ticks(&[&scene.sequencer, &scene.full], 2).await?;
        let heads = holds(&scene.sequencer);
        let safe = heads.latest == heads.safe;
        assert_eq!(safe, round % 3 != 1, "round {round}");
        if !safe {
            scene.goes_on().await?;
        }
    }
    Ok(())
}
