# Commands a developer types; CI runs `.ci/run`.

# What CI checks, in its order.
default: lint test

# Format, clippy, documentation.
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items

# Everything that can fail.
test: e2e-install
    cargo test --workspace --all-targets

# The pinned packages of the end-to-end tests (viem, ethers, cast, anvil, contracts).
e2e-install:
    npm ci --prefix tests/e2e

# A devnet to play with.
devnet *ARGS:
    cargo run --release -- devnet {{ARGS}}

# Criterion benches: execute, root, commit, codec.
bench *ARGS:
    cargo bench --workspace -- {{ARGS}}

# Writes golden vectors anew; read the diff before you commit it.
bless:
    CAUSEWAY_BLESS=1 cargo test --workspace vectors

# Licences and advisories (needs cargo-deny).
deny:
    cargo deny check

# Long runs; the result goes to docs/campaigns.md.
campaign NAME *ARGS:
    cargo test --release --workspace --test campaign -- {{NAME}} {{ARGS}}
