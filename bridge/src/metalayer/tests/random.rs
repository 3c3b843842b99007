//! Random runs of a mesh: value is conserved at every block, whatever is late or lost.

use causeway_chainspec::mailbox::Coin;

use super::mesh::{BAD, GOOD, Mesh, START_MS, Send, USER};

/// xorshift64*.
struct Rng(u64);

impl Rng {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % most
    }
}

fn sends(rng: &mut Rng, at: usize, chains: usize) -> Vec<Send> {
    (0..rng.below(4))
        .map(|_| Send {
            to: (at + 1 + rng.below(chains as u64 - 1) as usize) % chains,
            recipient: [GOOD, BAD, USER, USER][rng.below(4) as usize],
            amount: if rng.below(3) == 0 { 0 } else { 1 + rng.below(1 << 50) },
            gas: [30_000, 200_000, 5_000_000, 100_000_000][rng.below(4) as usize],
            ttl_ms: 1 + rng.below(120_000),
        })
        .collect()
}

/// Runs a mesh for so many blocks; returns how many messages were sent, delivered and paid back.
fn run(seed: u64, blocks: u64) -> (u32, u32, u32) {
    let mut rng = Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let coins = [Coin::Home, Coin::Hub, Coin::Own, Coin::Hub];
    let mut mesh = Mesh::new(&coins);
    let total = mesh.total();
    let mut clocks = [START_MS; 4];
    for _ in 0..blocks {
        let at = rng.below(4) as usize;
        let pause = if rng.below(20) == 0 { 60_000 } else { 2_000 };
        clocks[at] += 1 + rng.below(pause);
        let mut inbound = Vec::new();
        for remote in (0..4).filter(|remote| *remote != at) {
            // A lane may be held back for long; what is taken may be old.
            if rng.below(3) == 0 {
                let newest = mesh.chains[remote].blocks.len() as u64 - 1;
                let number = newest - rng.below(3).min(newest);
                inbound.push(mesh.inbound(at, remote, number as usize));
            }
        }
        // An older block than the last one taken is refused as a whole.
        let sends = sends(&mut rng, at, 4);
        mesh.block(at, clocks[at], inbound, vec![], &sends);
        assert_eq!(mesh.total(), total, "seed {seed}: coins of the hub came or went");
    }
    let count = |of: fn(&super::mesh::Fate) -> u32| mesh.book.values().map(of).sum();
    (mesh.book.len() as u32, count(|fate| fate.delivered), count(|fate| fate.refunded))
}

#[test]
fn value_is_conserved_at_every_block() {
    let (mut sent, mut delivered, mut refunded) = (0, 0, 0);
    for seed in 0..6 {
        let (s, d, r) = run(seed, 300);
        sent += s;
        delivered += d;
        refunded += r;
    }
    println!("{sent} sent, {delivered} delivered, {refunded} paid back");
    assert!(sent > 800 && delivered > 300 && refunded > 100, "{sent} {delivered} {refunded}");
}
