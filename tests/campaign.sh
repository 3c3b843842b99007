#!/usr/bin/env bash
# just campaign NAME [SIZE] [--for 90m]: a test of the CI at full size, in rounds. A stopped campaign
# goes on where it was; a failed one goes on with the round that failed. The result, good or bad, is
# a line in docs/campaigns.md. With --for it goes on until that time is over, whatever the size.
set -euo pipefail
cd "$(dirname "$0")/.."

names="agreement, reorgs, kill, apart, points, crash, simulation, differential, fuzz, rpc, mesh, crossing,
parent-reorgs, parent-kill, parent-away or parent-load"
name=${1:?"which campaign: $names"}
shift
only=$name:: binaries="--test it"
case $name in
  agreement)    size=80 round=10 ;;     # seeds a VM, 800 transactions each
  reorgs)       size=80 round=10 ;;     # seeds
  kill)         size=2000 round=50      # kills of a devnet under load
                only=kill::nothing_acknowledged_is_lost ;;
  apart)        size=300 round=30       # faults of one of three processes
                only=kill::apart:: ;;
  points)       size=1 round=1          # seeds: every named crash point at three hits
                only=crash_points::a_crash_at_a_point_loses_nothing ;;
  crash)        size=20 round=2 ;;      # seeds: the power cut at every operation, faults, turned bits
  simulation)   size=10000 round=500    # seeds
                only=sim::chains ;;
  differential) size=200 round=40 ;;    # seeds a VM
  mesh)         size=20 round=5 ;;      # seeds, 500 operations on three chains each
  crossing)     size=40 round=20        # kills of a devnet of three chains, and messages timed
                binaries="--test it --test cli" ;;
  parent-reorgs) size=64 round=64       # reorgs of the parent chain of depths 1 to 64
                only=ethereum::reorgs::reorgs_of_many_depths_put_posts_out_and_back ;;
  parent-kill)  size=60 round=20        # kills of a sequencer when its post is under way
                only=ethereum::troubles::kill_minus_nine_around_posts_loses_and_doubles_nothing ;;
  parent-away)  size=300 round=300      # seconds without an answer of the parent chain
                only=ethereum::outages::building_pauses_before_blocks_expire_and_goes_on_after ;;
  parent-load)  size=60 round=60        # seconds of load on blobs
                only=ethereum::throughput::blobs_carry_what_is_sent_at_a_cost_that_is_told ;;
  rpc)          size=1000000 round=50000 # hostile calls of JSON-RPC
                only=hostile::every_call_is_answered_and_nobody_waits ;;
  fuzz)         size=10000000 round=1000000 ;; # inputs of every decoder
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
if [ "$name" = fuzz ] && [ -n "$limit" ]; then round=100000; fi
if [ "$round" -gt "$size" ]; then round=$size; fi
goal=${limit:+"as many as fit into $limit s"}
goal=${goal:-$size}

commit=$(git rev-parse --short HEAD)
[ -z "$(git status --porcelain -- '*.rs' '*.toml' Cargo.lock)" ] || commit="$commit+changes"
state="${CARGO_TARGET_DIR:-target}/campaign"
mkdir -p "$state"
first=0 done_=0 spent=0 before=$commit
if [ -f "$state/$name" ]; then read -r first done_ spent before <"$state/$name"; fi

# A line for what was done at one commit.
record() {
  [ "$done_" -gt "$first" ] || [ "$2" != passed ] || return 0
  local line="| $(date -u +%F) | $1 | $name | $first..$done_ | $((done_ - first)) | ${spent} s | $2 |"
  # After the newest: other tables follow.
  local after
  after=$(grep -n '^| 20' docs/campaigns.md | tail -1 | cut -d: -f1)
  sed -i "${after}a\\$line" docs/campaigns.md
}
if [ "$before" != "$commit" ]; then
  record "$before" passed
  first=$done_ spent=0
fi

run_round() {
  if [ "$name" = fuzz ]; then
    tests/fuzz/campaign.sh all $((done_ - first + round))
    return
  fi
  # With the program that some tests start, so that it is of the same build.
  cargo test --quiet --workspace --all-targets --no-run
  # shellcheck disable=SC2086
  CAUSEWAY_SEED=$done_ CAUSEWAY_CASES=$round CAUSEWAY_KILLS=$round CAUSEWAY_OPERATIONS=500 \
    cargo test --workspace $binaries -- --nocapture "$only" | tee "$state/$name.round"
  # A filter that finds no test passes, too.
  grep -qE 'test result: ok\. [1-9]' "$state/$name.round"
}
more() {
  if [ -n "$limit" ]; then [ "$spent" -lt "$limit" ]; else [ "$done_" -lt "$size" ]; fi
}
while more; do
  started=$(date +%s) result=passed
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
  echo "$name: $done_ of $goal"
done
rm -f "$state/$name"
record "$commit" passed
