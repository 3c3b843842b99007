#!/usr/bin/env bash
# just campaign NAME [SIZE]: a test of the CI at full size, in rounds. A stopped campaign goes on
# where it was; the result is a line in docs/campaigns.md.
set -euo pipefail
cd "$(dirname "$0")/.."

name=${1:?"which campaign: agreement, reorgs, kill, mesh or crossing"}
case $name in
  agreement) size=${2:-80} round=10 ;; # seeds a VM, 800 transactions each
  reorgs)    size=${2:-80} round=10 ;; # seeds
  kill)      size=${2:-200} round=20 ;; # kills of a devnet under load
  mesh)      size=${2:-20} round=5 ;;   # seeds, 500 operations on three chains each
  crossing)  size=${2:-40} round=20 ;;  # kills of a devnet of three chains, and messages timed
  *) echo "no campaign named $name: agreement, reorgs, kill, mesh or crossing" >&2; exit 2 ;;
esac

state="${CARGO_TARGET_DIR:-target}/campaign"
mkdir -p "$state"
done_=0 spent=0
if [ -f "$state/$name" ]; then read -r done_ spent <"$state/$name"; fi
while [ "$done_" -lt "$size" ]; do
  started=$(date +%s)
  CAUSEWAY_SEED=$done_ CAUSEWAY_CASES=$round CAUSEWAY_KILLS=$round CAUSEWAY_OPERATIONS=500 \
    cargo test --workspace --test it --test cli -- --nocapture "$name::"
  spent=$((spent + $(date +%s) - started)) done_=$((done_ + round))
  echo "$done_ $spent" >"$state/$name"
  echo "$name: $done_ of $size"
done
rm "$state/$name"
commit=$(git rev-parse --short HEAD)
echo "| $(date -u +%F) | $commit | $name | 0..$done_ | ${spent} s | passed |" >>docs/campaigns.md
