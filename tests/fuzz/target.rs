//! The fuzz target that has the name of the binary; of `any`, the one that `CAUSEWAY_TARGET` names.

#![no_main]

use std::sync::LazyLock;

use causeway_tests::fuzz;

static RUN: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let mut name = env!("CARGO_BIN_NAME").to_owned();
    if name == "any" {
        name = std::env::var("CAUSEWAY_TARGET").expect("CAUSEWAY_TARGET names a target");
    }
    fuzz::target(&name).unwrap_or_else(|| panic!("there is no target {name}")).run
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| RUN(bytes));
