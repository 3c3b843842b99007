//! Consensus nodes that lack blobs, damage them or lie, and archives of peers.

use std::sync::Arc;

use alloy_primitives::Bytes;
use causeway_chainspec::DaRef;
use causeway_da::ethereum::{Archive, EthereumDa, serve_archive};
use causeway_da::{DaBackend, DaError};
use causeway_tests::anvil::Anvil;
use serde_json::json;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::shim::{Fault, Shim, Times};
use super::{open, poster};

const GENESIS: u64 = 1;

/// A chain with a block each slot, and two blobs in one of them.
struct Scene {
    anvil: Anvil,
    at: DaRef,
    blobs: [Bytes; 2],
}

impl Scene {
    async fn new() -> eyre::Result<Self> {
        let anvil = Anvil::start(&[])?;
        anvil.call("anvil_setBlockTimestampInterval", json!([12])).await?;
        for _ in 0..3 {
            anvil.mine().await?;
        }
        let blobs = [Bytes::from(vec![1; 3000]), vec![2; 50].into()];
        let at = poster(&anvil, "")?.submit(&blobs).await?;
        anvil.mine().await?;
        Ok(Self { anvil, at, blobs })
    }

    async fn shim(&self, epochs: u64) -> eyre::Result<Shim> {
        Shim::start(self.anvil.url(), Times { genesis: GENESIS, epochs }).await
    }

    fn reader(&self, beacons: &[&Shim], more: &str) -> eyre::Result<Arc<EthereumDa>> {
        let urls: Vec<_> = beacons.iter().map(|shim| &shim.url).collect();
        open(&[self.anvil.url()], &format!("beacon = {urls:?}\n{more}"))
    }

    async fn is_read(&self, da: &EthereumDa) -> eyre::Result<()> {
        let block = da.read(self.at.height).await?;
        assert_eq!((block.da, &block.blobs[..]), (self.at, &self.blobs[..]));
        Ok(())
    }
}

#[tokio::test]
async fn what_hashes_to_its_name_is_taken_from_whoever_has_it() -> eyre::Result<()> {
    let scene = Scene::new().await?;
    let [first, second] = [scene.shim(4096).await?, scene.shim(4096).await?];
    // Slot 4: three blocks, then the post.
    scene.is_read(&*scene.reader(&[&first], "")?).await?;
    assert_eq!(first.asked(), ["4"]);
    for fault in [Fault::Reordered, Fault::Extra, Fault::Old] {
        first.fail(fault);
        scene.is_read(&*scene.reader(&[&first], "")?).await?;
    }
    // The other one makes good what the first lacks.
    for fault in [Fault::Wrong, Fault::Missing, Fault::Pruned, Fault::Down, Fault::Garbage] {
        first.fail(fault);
        scene.is_read(&*scene.reader(&[&first, &second], "")?).await?;
        assert_eq!(second.asked(), ["4"], "{fault:?}");
    }
    Ok(())
}

#[tokio::test]
async fn withheld_pruned_and_unreachable_are_three_things() -> eyre::Result<()> {
    let scene = Scene::new().await?;
    let height = scene.at.height;
    let [first, second] = [scene.shim(4096).await?, scene.shim(4096).await?];
    let da = scene.reader(&[&first, &second], "")?;
    for fault in [Fault::Wrong, Fault::Missing, Fault::Pruned] {
        first.fail(fault);
        second.fail(Fault::Down);
        let error = da.read(height).await.unwrap_err();
        let missing = if fault == Fault::Missing { 1 } else { 2 };
        assert!(
            matches!(&error, DaError::Withheld { height: at, missing: lacks, asked }
                if *at == height && *lacks == missing && asked.contains("127.0.0.1")),
            "{fault:?}: {error}"
        );
        assert!(error.is_temporary());
        assert!(da.read(height - 1).await?.blobs.is_empty(), "blocks without blobs are read");
    }
    for fault in [Fault::Down, Fault::Garbage] {
        first.fail(fault);
        second.fail(fault);
        let error = da.read(height).await.unwrap_err();
        assert!(matches!(error, DaError::Unavailable(_)), "{fault:?}: {error}");
    }
    second.fail(Fault::None);
    scene.is_read(&da).await?;

    // A node that keeps two slots, five slots later.
    let short = scene.shim(2).await?;
    for _ in 0..5 {
        scene.anvil.mine().await?;
    }
    let da = scene.reader(&[&short], "")?;
    scene.is_read(&da).await?;
    short.fail(Fault::Pruned);
    let error = da.read(height).await.unwrap_err();
    assert!(matches!(error, DaError::Pruned { height: at, .. } if at == height), "{error}");
    assert!(error.to_string().contains("archive") && !error.is_temporary(), "{error}");
    Ok(())
}

#[tokio::test]
async fn archives_keep_what_the_parent_chain_forgets() -> eyre::Result<()> {
    let scene = Scene::new().await?;
    let shim = scene.shim(2).await?;
    let dir = TempDir::new()?;
    let folder = format!("archive = {:?}", dir.path());
    scene.is_read(&*scene.reader(&[&shim], &folder)?).await?;
    for _ in 0..5 {
        scene.anvil.mine().await?;
    }
    shim.fail(Fault::Pruned);
    shim.asked();
    // Its own folder first, and nobody is asked.
    scene.is_read(&*scene.reader(&[&shim], &folder)?).await?;
    assert!(shim.asked().is_empty());

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let peers = format!("archives = [\"http://{}\"]", listener.local_addr()?);
    let stop = CancellationToken::new();
    let served = tokio::spawn(serve_archive(listener, Archive::open(dir.path())?, stop.clone()));
    let fresh = scene.reader(&[&shim], &peers)?;
    scene.is_read(&fresh).await?;
    // A peer that damages what it keeps is as one that has nothing.
    let files = |path: &std::path::Path| -> Vec<_> {
        std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    for file in files(dir.path()).iter().flat_map(|folder| files(folder)) {
        let mut bytes = std::fs::read(&file)?;
        bytes[77] ^= 1;
        std::fs::write(&file, bytes)?;
    }
    let error = fresh.read(scene.at.height).await.unwrap_err();
    assert!(matches!(error, DaError::Pruned { .. }), "{error}");
    stop.cancel();
    served.await??;
    // A peer that does not answer may still have them.
    let error = fresh.read(scene.at.height).await.unwrap_err();
    assert!(error.is_temporary(), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_node_of_another_chain_is_passed_over() -> eyre::Result<()> {
    let scene = Scene::new().await?;
    let other = Anvil::start(&["--chain-id", "901"])?;
    let [wrong, right] = [other.url(), scene.anvil.url()];
    let text = format!("beacon = [{right:?}]\n");
    let error = open(&[wrong], &text)?.heads().await.unwrap_err();
    assert!(error.is_temporary() && error.to_string().contains("chain"), "{error}");
    let gone = "http://127.0.0.1:1";
    scene.is_read(&*open(&[gone, wrong, right], &text)?).await?;
    let error = open(&[gone], &text)?.read(1).await.unwrap_err();
    assert!(matches!(error, DaError::Unavailable(_)), "{error}");
    Ok(())
}
