#!/usr/bin/env bash
# tests/fuzz/campaign.sh TARGET|all [RUNS]: at least so many inputs (10^7 if not said) for a target,
# in rounds; one that was stopped goes on where it was, at the same commit. Two of them can run side
# by side.
# A line a target: name runs seconds exec/s cov corpus crashes
set -euo pipefail
cd "$(dirname "$0")"

wanted=${1:?"which target: a name of tests/src/fuzz/mod.rs, or all"} runs=${2:-10000000}
host=$(rustc -vV | sed -n 's/^host: //p')
names=$(sed -n 's/^    \(binary\|text\)("\([a-z_]*\)".*/\2/p' ../src/fuzz/mod.rs)
if [ "$wanted" != all ]; then
  grep -qx "$wanted" <<<"$names" || { echo "no target $wanted; there are: "$names >&2; exit 2; }
  names=$wanted
fi

RUSTC_WRAPPER="$PWD/rustc.sh" CARGO_INCREMENTAL=0 \
  cargo build --quiet --release --target "$host" --bin any >&2
build=${CARGO_TARGET_DIR:-target}
any="$build/$host/release/any"
state="$build/campaign" commit=$(git rev-parse --short HEAD)
mkdir -p "$state"

for name in $names; do
  mkdir -p "$state/$name/corpus" "$state/$name/crashes"
  most=$(sed -n "s/^    [a-z]*(\"$name\".* \([0-9]*\), [0-9_]*),\$/\1/p" ../src/fuzz/mod.rs)
  dict=()
  if [ -f "dict/$name" ]; then dict=("-dict=dict/$name"); fi
  done_=0 spent=0 crashes=0 cov=0 before=$commit
  if [ -f "$state/$name/state" ]; then read -r done_ spent cov before <"$state/$name/state"; fi
  if [ "$before" != "$commit" ]; then done_=0 spent=0; fi
  while [ "$done_" -lt "$runs" ]; do
    round=$((runs - done_ < 1000000 ? runs - done_ : 1000000))
    started=$(date +%s) failed=0
    CAUSEWAY_TARGET=$name "$any" "$state/$name/corpus" "corpus/$name" -runs="$round" \
      -max_len="${most:-4096}" -timeout=20 -rss_limit_mb=3000 -seed=$((done_ + 1)) "${dict[@]}" \
      -artifact_prefix="$state/$name/crashes/" >"$state/$name/log" 2>&1 || failed=1
    seconds=$(($(date +%s) - started))
    # What a round that crashed did is on the last line that counts.
    ran=$(sed -n 's/^#\([0-9]*\)[[:space:]].*/\1/p' "$state/$name/log" | tail -1)
    now=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$state/$name/log" | tail -1)
    cov=${now:-$cov} spent=$((spent + seconds))
    done_=$((done_ + (failed == 1 ? ${ran:-0} : round))) crashes=$((crashes + failed))
    echo "$done_ $spent $cov $commit" >"$state/$name/state"
    if [ "$failed" -eq 1 ]; then
      echo "$name crashed: see $state/$name/log and $state/$name/crashes" >&2
      break
    fi
  done
  echo "$name $done_ $spent $((done_ / (spent > 0 ? spent : 1)))" \
    "$cov $(find "$state/$name/corpus" -type f | wc -l) $crashes"
  [ "$crashes" -eq 0 ] || exit_code=1
done
exit "${exit_code:-0}"
