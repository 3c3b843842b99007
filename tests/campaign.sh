#!/usr/bin/env bash
# just campaign NAME [SIZE] [--for 90m]: a test of the CI at full size, in rounds. A stopped campaign
# goes on where it was; a failed one goes on with the round that failed. The result, good or bad, is
# a line in docs/campaigns.md. With --for it goes on until that time is over, whatever the size.
set -euo pipefail
cd "$(dirname "$0")/.."

names="agreement, reorgs, kill, points, crash, flips, simulation, differential, conformance, fuzz, mesh or crossing"
name=${1:?"which campaign: $names"}
shift
tests="cargo test --workspace --test it --"
case $name in
  agreement)    size=80    round=10 ;;   # seeds a VM, 800 transactions each
  reorgs)       size=80    round=10 ;;   # seeds
  kill)         size=2000  round=50 ;;   # kills of real processes under load
  points)       size=3     round=1 ;;    # hits of every named crash point
  crash)        size=50    round=5 ;;    # what survives of each power cut, at every operation
  simulation)   size=10000 round=500 ;;  # seeds
  differential) size=400   round=40 ;;   # seeds a VM
  mesh)         size=20    round=5 ;;    # seeds, 500 operations on three chains each
  crossing)     size=40    round=20      # kills of a devnet of three chains, and messages timed
                tests="cargo test --workspace --test it --test cli --" ;;
  fuzz)         size=10000000 round=10000000 tests="" ;; # inputs a decoder
  *) echo "no campaign named $name: $names" >&2; exit 2 ;;
esac

# "90m" in seconds.
seconds() {
  case $1 in
    *h) echo $((${1%h} * 3600)) ;; *m) echo $((${1%m} * 60)) ;; *) echo "${1%s}" ;;
  esac
}
limit=
while [ $# -gt 0 ]; do
  case $1 in
    --for) limit=$(seconds "${2:?"--for how long, as 90m or 2h"}"); shift 2 ;;
    *[!0-9]*) echo "not understood: $1 (just campaign $name [SIZE] [--for 90m])" >&2; exit 2 ;;
    *) size=$1; shift ;;
  esac
done

commit=$(git rev-parse --short HEAD)
[ -z "$(git status --porcelain -- '*.rs' '*.toml' Cargo.lock)" ] || commit="$commit+changes"
state="${CARGO_TARGET_DIR:-target}/campaign"
mkdir -p "$state"
first=0 done_=0 spent=0 before=$commit
if [ -f "$state/$name" ]; then read -r first done_ spent before <"$state/$name"; fi

# A line for what was done at one commit.
record() {
  [ "$done_" -gt "$first" ] || [ "$2" != passed ] || return 0
  echo "| $(date -u +%F) | $1 | $name | $first..$done_ | $((done_ - first)) | ${spent} s | $2 |" \
    >>docs/campaigns.md
}
if [ "$before" != "$commit" ]; then
  record "$before" passed
  first=$done_ spent=0
fi

run_round() {
  if [ "$name" = fuzz ]; then tests/fuzz/campaign.sh all "$round"; return; fi
  CAUSEWAY_SEED=$done_ CAUSEWAY_CASES=$round CAUSEWAY_KILLS=$round CAUSEWAY_OPERATIONS=500 \
    $tests --nocapture "$name::"
}
while { [ -n "$limit" ] && [ "$spent" -lt "$limit" ]; } || { [ -z "$limit" ] && [ "$done_" -lt "$size" ]; }; do
  started=$(date +%s)
  result=passed
  run_round 2>&1 | tee "$state/$name.log" || result="FAILED in the round from $done_ on"
  spent=$((spent + $(date +%s) - started))
  if [ "$result" != passed ]; then
    record "$commit" "$result"
    echo "$done_ $done_ 0 $commit" >"$state/$name"
    echo "$name: $result; what it printed is in $state/$name.log" >&2
    exit 1
  fi
  done_=$((done_ + round))
  echo "$first $done_ $spent $commit" >"$state/$name"
  echo "$name: $done_ of ${limit:+as many as fit into $limit s}${limit:-$size}"
done
rm "$state/$name"
record "$commit" passed
