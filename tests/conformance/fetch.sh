#!/usr/bin/env bash
# just suites: fetches official suites at pinned commits into target/suites, as the runner looks
# for them. The mainnet blocks (risechain/pevm) are left out: upstream stores their codes in a
# binary form of its own, and the runner reads JSON (docs/testing.md).
set -euo pipefail
cd "$(dirname "$0")/../.."

suites="$PWD/target/suites"

# The archive of a repository at a commit, of which only some folders are kept.
fetch() {
  local repo=$1 commit=$2 into="$suites/$3"
  shift 3
  rm -rf "$into.part" && mkdir -p "$into.part"
  curl -fsSL "https://github.com/$repo/archive/$commit.tar.gz" |
    tar -xz -C "$into.part" --strip-components=1 --wildcards --exclude='*/BlockchainTests/*' "$@"
  rm -rf "$into" && mv "$into.part" "$into"
  echo "$repo at $commit: $into"
}

fetch ethereum/tests 4c87ebb ethereum-tests \
  '*/GeneralStateTests/*' '*/TransactionTests/*' '*/RLPTests/*' '*/TrieTests/*'
echo "now: export CAUSEWAY_SUITES=$suites"
