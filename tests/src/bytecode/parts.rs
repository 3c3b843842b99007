//! Pieces of code that are always alike.

use alloy_primitives::{Address, U256};
use revm::bytecode::opcode::*;

/// The shortest push of a value that every fork knows.
pub(super) fn push(value: U256) -> Vec<u8> {
    let bytes = value.to_be_bytes_trimmed_vec();
    let bytes = if bytes.is_empty() { vec![0] } else { bytes };
    [&[PUSH1 - 1 + bytes.len() as u8], &bytes[..]].concat()
}

/// A push of an address.
pub(super) fn push_address(address: Address) -> Vec<u8> {
    [&[PUSH20], address.as_slice()].concat()
}

/// Calls itself with all gas; leaves how it went.
pub(super) fn calling_self() -> Vec<u8> {
    vec![PUSH1, 0, PUSH1, 0, PUSH1, 0, PUSH1, 0, PUSH1, 0, ADDRESS, GAS, CALL]
}

/// Creates a child always at one address, notes it, and calls it. The child counts its calls and
/// destructs itself at every second: on old forks it dies with its storage, and comes again.
pub fn rebirth() -> Vec<u8> {
    let child = [
        &[PUSH1, 0, SLOAD, PUSH1, 1, ADD, DUP1, PUSH1, 0, SSTORE, NUMBER, PUSH1, 2, SSTORE][..],
        &[PUSH1, 1, AND, PUSH1, 22, JUMPI, CALLER, SELFDESTRUCT, JUMPDEST],
    ]
    .concat();
    let init = deploying(&[], &child);
    let mut padded = [0; 64];
    padded[..init.len()].copy_from_slice(&init);
    let size = init.len() as u8;
    let mut code = vec![PUSH32];
    code.extend_from_slice(&padded[..32]);
    code.extend([PUSH1, 0, MSTORE, PUSH32]);
    code.extend_from_slice(&padded[32..]);
    code.extend([PUSH1, 32, MSTORE, PUSH1, 0, PUSH1, size, PUSH1, 0, PUSH1, 0, CREATE2, DUP1]);
    // A collision gives zero: the address noted before stays.
    let after = code.len() as u8 + 8;
    code.extend([ISZERO, PUSH1, after, JUMPI, DUP1, PUSH1, 9, SSTORE, JUMPDEST, POP]);
    code.extend([PUSH1, 0, PUSH1, 0, PUSH1, 0, PUSH1, 0, PUSH1, 0, PUSH1, 9, SLOAD, GAS, CALL]);
    code.extend([PUSH1, 8, SSTORE]);
    code
}

/// A constructor that runs `first` and then leaves `runtime`.
pub(super) fn deploying(first: &[u8], runtime: &[u8]) -> Vec<u8> {
    const RETURNING: usize = 15;
    let [high, low] = (runtime.len() as u16).to_be_bytes();
    let [to_high, to_low] = ((first.len() + RETURNING) as u16).to_be_bytes();
    let mut code = first.to_vec();
    code.extend([PUSH2, high, low, PUSH2, to_high, to_low, PUSH1, 0, CODECOPY]);
    code.extend([PUSH2, high, low, PUSH1, 0, RETURN]);
    debug_assert_eq!(code.len(), first.len() + RETURNING);
    code.extend_from_slice(runtime);
    code
}
