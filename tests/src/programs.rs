//! Random EVM code: mostly sensible (operands that mean something, results that are kept), partly
//! bytes as they come.

use alloy_primitives::{Address, U256, address};
use revm::bytecode::opcode as op;

use crate::txs::Rng;

/// The precompile of EIP-7951.
const P256_VERIFY: Address = address!("0x0000000000000000000000000000000000000100");

/// Opcode, operands it takes, whether it leaves one, and how often it is chosen.
type Form = (u8, u8, bool, u64);

/// Everything with operands of its own; calls and creations are written by hand.
const FORMS: &[Form] = &[
    (op::ADD, 2, true, 3),
    (op::MUL, 2, true, 2),
    (op::SUB, 2, true, 2),
    (op::DIV, 2, true, 1),
    (op::SDIV, 2, true, 1),
    (op::MOD, 2, true, 1),
    (op::SMOD, 2, true, 1),
    (op::ADDMOD, 3, true, 1),
    (op::MULMOD, 3, true, 1),
    (op::EXP, 2, true, 1),
    (op::SIGNEXTEND, 2, true, 1),
    (op::LT, 2, true, 1),
    (op::SGT, 2, true, 1),
    (op::EQ, 2, true, 1),
    (op::ISZERO, 1, true, 1),
    (op::XOR, 2, true, 1),
    (op::NOT, 1, true, 1),
    (op::BYTE, 2, true, 1),
    (op::SHL, 2, true, 1),
    (op::SAR, 2, true, 1),
    (op::CLZ, 1, true, 1),
    (op::KECCAK256, 2, true, 2),
    (op::ADDRESS, 0, true, 1),
    (op::BALANCE, 1, true, 3),
    (op::ORIGIN, 0, true, 1),
    (op::CALLER, 0, true, 1),
    (op::CALLVALUE, 0, true, 1),
    (op::CALLDATALOAD, 1, true, 2),
    (op::CALLDATASIZE, 0, true, 1),
    (op::CALLDATACOPY, 3, false, 1),
    (op::CODESIZE, 0, true, 1),
    (op::CODECOPY, 3, false, 1),
    (op::GASPRICE, 0, true, 1),
    (op::EXTCODESIZE, 1, true, 2),
    (op::EXTCODECOPY, 4, false, 2),
    (op::RETURNDATASIZE, 0, true, 1),
    (op::RETURNDATACOPY, 3, false, 1),
    (op::EXTCODEHASH, 1, true, 2),
    (op::BLOCKHASH, 1, true, 2),
    (op::COINBASE, 0, true, 1),
    (op::TIMESTAMP, 0, true, 1),
    (op::NUMBER, 0, true, 1),
    (op::DIFFICULTY, 0, true, 1),
    (op::GASLIMIT, 0, true, 1),
    (op::CHAINID, 0, true, 1),
    (op::SELFBALANCE, 0, true, 1),
    (op::BASEFEE, 0, true, 1),
    (op::BLOBHASH, 1, true, 1),
    (op::BLOBBASEFEE, 0, true, 1),
    (op::MLOAD, 1, true, 1),
    (op::MSTORE, 2, false, 2),
    (op::MSTORE8, 2, false, 1),
    (op::MCOPY, 3, false, 1),
    (op::SLOAD, 1, true, 5),
    (op::SSTORE, 2, false, 9),
    (op::TLOAD, 1, true, 2),
    (op::TSTORE, 2, false, 2),
    (op::MSIZE, 0, true, 1),
    (op::GAS, 0, true, 1),
    (op::LOG0, 2, false, 2),
    (op::LOG1, 3, false, 5),
    (op::LOG4, 6, false, 3),
    (op::STOP, 0, false, 1),
    (op::RETURN, 2, false, 1),
    (op::REVERT, 2, false, 1),
    (op::INVALID, 0, false, 1),
    (op::SELFDESTRUCT, 1, false, 1),
    (op::JUMP, 1, false, 1),
    (0x0c, 0, false, 1),
];

/// Writes code for one chain.
pub struct Programs<'a> {
    /// Where chance comes from.
    pub rng: &'a mut Rng,
    /// Who is spoken of.
    pub people: &'a [Address],
}

impl Programs<'_> {
    /// Runtime code; `depth` says how deep creations may nest in it.
    pub fn runtime(&mut self, depth: u32) -> Vec<u8> {
        if self.rng.percent(12) {
            let size = 1 + self.rng.below(80) as usize;
            return self.rng.bytes(size);
        }
        let mut code = Vec::new();
        for _ in 0..1 + self.rng.below(7) {
            match self.rng.below(100) {
                0..55 => self.operation(&mut code),
                55..78 => self.call(&mut code),
                78..88 if depth > 0 => self.creation(&mut code, depth),
                88..94 => self.repeated(&mut code),
                _ => self.stored(&mut code),
            }
        }
        code
    }

    /// Creation code: mostly leaves runtime code, sometimes does whatever.
    pub fn init(&mut self, depth: u32) -> Vec<u8> {
        if self.rng.percent(20) {
            return self.runtime(depth);
        }
        let runtime = match self.rng.below(12) {
            0 => vec![0xef],
            1 => vec![],
            _ => self.runtime(depth.saturating_sub(1)),
        };
        let mut code = Vec::new();
        if self.rng.percent(30) {
            self.operation(&mut code);
        }
        let size = runtime.len() as u16;
        let [high, low] = size.to_be_bytes();
        // PUSH2 size, DUP1, PUSH2 from, PUSH1 0, CODECOPY, PUSH1 0, RETURN: 13 bytes.
        let from = (code.len() as u16 + 13).to_be_bytes();
        code.extend([op::PUSH2, high, low, op::DUP1, op::PUSH2, from[0], from[1]]);
        code.extend([op::PUSH1, 0, op::CODECOPY, op::PUSH1, 0, op::RETURN]);
        code.extend(runtime);
        code
    }

    fn operation(&mut self, code: &mut Vec<u8>) {
        let all: u64 = FORMS.iter().map(|form| form.3).sum();
        let mut left = self.rng.below(all);
        let form = FORMS.iter().find(|form| {
            let hit = left < form.3;
            left = left.saturating_sub(form.3);
            hit
        });
        let (opcode, operands, result, _) = *form.expect("the weights add up");
        for _ in 0..operands {
            self.operand(code);
        }
        code.push(opcode);
        if result {
            self.keep(code);
        }
    }

    /// Something to do with a result: a slot, memory, nothing.
    fn keep(&mut self, code: &mut Vec<u8>) {
        match self.rng.below(4) {
            0 => code.push(op::POP),
            1 => code.extend([op::PUSH1, 32 * self.rng.below(3) as u8, op::MSTORE]),
            _ => code.extend([op::PUSH1, self.rng.below(5) as u8, op::SSTORE]),
        }
    }

    /// A number that may mean a slot, a place in memory, a length, an address or nothing.
    fn operand(&mut self, code: &mut Vec<u8>) {
        match self.rng.below(20) {
            0..10 => code.extend([op::PUSH1, self.rng.below(5) as u8]),
            10..13 => code.extend([op::PUSH1, 32 * self.rng.below(5) as u8]),
            13..17 => self.person(code),
            17 => code.extend([op::PUSH1, self.rng.number() as u8]),
            18 => {
                code.push(op::PUSH32);
                code.extend(self.rng.bytes(32));
            }
            _ => {
                let odd = [U256::MAX, U256::ONE << 255, U256::from(u64::MAX), U256::ZERO];
                code.push(op::PUSH32);
                code.extend(self.rng.pick(&odd).to_be_bytes::<32>());
            }
        }
    }

    fn person(&mut self, code: &mut Vec<u8>) {
        code.push(op::PUSH20);
        let person = match self.rng.below(8) {
            0 => Address::with_last_byte(self.rng.below(0x13) as u8),
            1 => P256_VERIFY,
            _ => *self.rng.pick(self.people),
        };
        code.extend(person);
    }

    fn call(&mut self, code: &mut Vec<u8>) {
        let opcode = *self.rng.pick(&[
            op::CALL,
            op::CALL,
            op::CALL,
            op::CALLCODE,
            op::DELEGATECALL,
            op::STATICCALL,
        ]);
        // Output, then input.
        for size in [32, 160] {
            code.extend([op::PUSH1, self.rng.below(size + 1) as u8]);
            code.extend([op::PUSH1, 32 * self.rng.below(3) as u8]);
        }
        if matches!(opcode, op::CALL | op::CALLCODE) {
            code.extend([op::PUSH1, self.rng.below(4) as u8]);
        }
        self.person(code);
        match self.rng.below(6) {
            0 => code.extend([op::PUSH2, 0, self.rng.number() as u8]),
            1 => code.push(op::GAS),
            _ => code.extend([op::PUSH3, self.rng.below(2) as u8, 0x40, 0]),
        }
        code.push(opcode);
        self.keep(code);
    }

    fn creation(&mut self, code: &mut Vec<u8>, depth: u32) {
        let init = self.init(depth - 1);
        write_memory(&init, code);
        let salted = self.rng.percent(60);
        if salted {
            code.extend([op::PUSH1, self.rng.below(2) as u8]);
        }
        let [high, low] = (init.len() as u16).to_be_bytes();
        code.extend([op::PUSH2, high, low, op::PUSH1, 0, op::PUSH1, self.rng.below(3) as u8]);
        code.push(if salted { op::CREATE2 } else { op::CREATE });
        if self.rng.percent(30) {
            // And calls what it made.
            code.extend([op::PUSH1, 0, op::PUSH1, 0, op::PUSH1, 0, op::PUSH1, 0, op::PUSH1, 1]);
            code.extend([op::DUP6, op::GAS, op::CALL, op::POP]);
        }
        self.keep(code);
    }

    /// A loop of a few rounds, or of as many as the gas allows.
    fn repeated(&mut self, code: &mut Vec<u8>) {
        let rounds = if self.rng.percent(10) { 255 } else { 1 + self.rng.below(4) as u8 };
        code.extend([op::PUSH1, rounds]);
        let start = (code.len() as u16).to_be_bytes();
        code.push(op::JUMPDEST);
        if self.rng.percent(50) {
            self.stored(code)
        } else {
            self.call(code)
        }
        code.extend([op::PUSH1, 1, op::SWAP1, op::SUB, op::DUP1]);
        code.extend([op::PUSH2, start[0], start[1], op::JUMPI, op::POP]);
    }

    /// A slot that changes with itself.
    fn stored(&mut self, code: &mut Vec<u8>) {
        let (from, to) = (self.rng.below(5) as u8, self.rng.below(5) as u8);
        let change = *self.rng.pick(&[op::ADD, op::SUB, op::XOR, op::MUL]);
        code.extend([op::PUSH1, self.rng.below(3) as u8, op::PUSH1, from, op::SLOAD]);
        code.extend([change, op::PUSH1, to, op::SSTORE]);
    }
}

/// Code that leaves bytes at the start of memory.
fn write_memory(bytes: &[u8], code: &mut Vec<u8>) {
    for (at, word) in bytes.chunks(32).enumerate() {
        let mut padded = [0; 32];
        padded[..word.len()].copy_from_slice(word);
        code.push(op::PUSH32);
        code.extend(padded);
        let [high, low] = (32 * at as u16).to_be_bytes();
        code.extend([op::PUSH2, high, low, op::MSTORE]);
    }
}
