#!/usr/bin/env bash
# A RUSTC_WRAPPER: coverage for the crates that decode, and for nothing else. Cryptography, the
# database and the runtime stay fast, and libFuzzer has fewer counters to look at after each input.
set -euo pipefail

name='' target=''
for ((at = 1; at <= $#; at++)); do
  case ${!at} in
    --crate-name) next=$((at + 1)) name=${!next} ;;
    --target) target=yes ;; # what runs on the host (build scripts, macros) has none
  esac
done
case ${target:+$name} in
  causeway_* | any | alloy_rlp | alloy_consensus | alloy_eips | alloy_sol_types | alloy_rpc_types_eth \
    | op_alloy_consensus | toml | toml_parser | serde_json | brotli_decompressor | jsonrpsee_types)
    exec "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
      -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
      -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares
    ;;
  *) exec "$@" ;;
esac
