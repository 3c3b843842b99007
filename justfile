# Commands a developer types; CI runs `.ci/run`.

# What CI checks, in its order.
default: lint test

# Format, clippy, documentation.
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items

# Everything that can fail.
test:
    cargo test --workspace --all-targets

# A devnet to play with.
devnet *ARGS:
    cargo run --release -- devnet {{ARGS}}

# The benchmark: `just bench transfers reads --pairs 5 --out DIR`; all workloads if none is named.
bench *ARGS:
    cargo build --release -p causeway-node -p causeway-bench
    target/release/causeway-bench {{ARGS}}

# Criterion benches of single stages: recover, execute, root, commit, codec.
stages *ARGS:
    cargo bench -p causeway-bench --bench stages -- {{ARGS}}

# A picture of where a running node spends its time: `just flamegraph PID 15`. Needs perf and inferno; see docs/performance.md.
flamegraph PID SECONDS="15":
    perf record -e cpu-clock -F 997 --call-graph dwarf,16384 -p {{PID}} -o target/perf.data -- sleep {{SECONDS}}
    perf script --no-inline -i target/perf.data | inferno-collapse-perf | inferno-flamegraph > target/flamegraph.svg

# Writes golden vectors anew; read the diff before you commit it.
bless:
    CAUSEWAY_BLESS=1 cargo test --workspace vectors

# Compiles the contracts anew; commit what changes in chainspec/predeploys and bridge/src/l1.
contracts:
    cd bridge/contracts && npm ci --no-audit --no-fund --ignore-scripts && node build.mjs

# Fetches official suites of Ethereum at pinned commits; says which variable to set.
suites:
    tests/conformance/fetch.sh

# Official suites alone, or those whose name contains a word: `just conformance trie`.
conformance *NAME:
    cargo test --workspace --test conformance -- {{NAME}}

# Licences and advisories (needs cargo-deny).
deny:
    cargo deny check

# A test of the CI at full size, as `just campaign simulation --for 1h`; the result goes to docs/campaigns.md.
campaign NAME *SIZE:
    tests/campaign.sh {{NAME}} {{SIZE}}
