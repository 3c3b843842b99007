//! Seeded random EVM code: programs of statements that mean something, and bytes that mean nothing.

mod parts;

use alloy_primitives::{Address, U256};
use revm::bytecode::opcode::*;

use crate::txs::Rng;

pub use parts::rebirth;
use parts::{calling_self, deploying, push, push_address};

/// The last precompile by number, P256 (EIP-7951).
const P256: u64 = 0x100;

/// Writes programs. What it writes depends on the numbers it draws only.
pub struct Coder<'a> {
    /// Where chance comes from.
    pub rng: &'a mut Rng,
    /// Addresses that code speaks of.
    pub people: &'a [Address],
    /// Whether accounts may begin as delegations (EIP-7702), which older forks have no rule for.
    pub delegates: bool,
    out: Vec<u8>,
    /// How many programs this one is inside of.
    depth: usize,
}

impl<'a> Coder<'a> {
    /// Nothing is written yet.
    pub fn new(rng: &'a mut Rng, people: &'a [Address]) -> Self {
        Self { rng, people, delegates: true, out: Vec::new(), depth: 0 }
    }

    /// Runtime code: mostly statements, sometimes a delegation or just bytes.
    pub fn runtime(&mut self) -> Vec<u8> {
        match self.rng.below(20) {
            0 | 1 => self.noise(),
            // Calls itself with all it has, before and after a write.
            2 => [&[PUSH1, 1, PUSH1, 0, SSTORE][..], &calling_self(), &[PUSH1, 0, SSTORE]].concat(),
            // What no creation may leave, but genesis can: a delegation to anybody.
            3 if self.delegates => [&[0xef, 0x01, 0x00][..], self.somebody().as_slice()].concat(),
            4 | 5 => rebirth(),
            _ => self.program(),
        }
    }

    /// Creation code: leaves code, leaves what it must not, dies, reverts, or is any program.
    pub fn init(&mut self) -> Vec<u8> {
        let prefix = if self.rng.percent(40) { self.inner(2) } else { Vec::new() };
        match self.rng.below(12) {
            0 => [&prefix[..], &[ADDRESS, SELFDESTRUCT]].concat(),
            1 => [&prefix[..], &[PUSH1, 5, PUSH1, 0, REVERT]].concat(),
            2 => deploying(&prefix, &[&[0xef], &self.noise()[..]].concat()),
            3 => [&prefix[..], &[PUSH2, 0x60, 0x01, PUSH1, 0, RETURN]].concat(),
            4 => self.noise(),
            5 => [&prefix[..], &self.inner(3)].concat(),
            // Dies whenever it is called.
            6 | 7 => {
                let code = [&push_address(self.somebody())[..], &[SELFDESTRUCT]].concat();
                deploying(&prefix, &code)
            }
            _ => {
                let code = self.inner(4);
                deploying(&prefix, &code)
            }
        }
    }

    /// Bytes without any order; half of them opcodes that exist.
    pub fn noise(&mut self) -> Vec<u8> {
        let count = 1 + self.rng.below(60) as usize;
        let mut bytes = self.rng.bytes(count);
        for byte in &mut bytes {
            if self.rng.percent(50) {
                *byte = *self.rng.pick(&[
                    PUSH1,
                    PUSH1,
                    PUSH2,
                    DUP1,
                    DUP2,
                    SWAP1,
                    POP,
                    SSTORE,
                    SLOAD,
                    CALL,
                    MSTORE,
                    GAS,
                    ADDRESS,
                    CALLER,
                    CALLDATALOAD,
                    JUMPDEST,
                    PC,
                    MSIZE,
                    RETURN,
                    SELFBALANCE,
                ]);
            }
        }
        bytes
    }

    /// A few statements.
    pub fn program(&mut self) -> Vec<u8> {
        let most = 1 + self.rng.below(9);
        self.inner(most)
    }

    /// A program inside of this one, of at most so many statements.
    fn inner(&mut self, most: u64) -> Vec<u8> {
        let before = std::mem::take(&mut self.out);
        self.depth += 1;
        for _ in 0..=self.rng.below(most) {
            self.statement();
        }
        self.depth -= 1;
        std::mem::replace(&mut self.out, before)
    }

    fn somebody(&mut self) -> Address {
        *self.rng.pick(self.people)
    }

    fn put(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    fn push(&mut self, value: u64) {
        self.put(&push(U256::from(value)));
    }

    /// A number that some rule may care for.
    fn odd(&mut self) -> U256 {
        match self.rng.below(8) {
            0 => U256::MAX,
            1 => U256::ONE << self.rng.below(256) as usize,
            2 => U256::from_be_slice(&self.rng.bytes(32)),
            3 => U256::from_be_slice(self.somebody().as_slice()),
            4 => U256::from(self.rng.below(1 << 20)),
            _ => U256::from(self.rng.below(5)),
        }
    }

    /// Keeps what is on the stack in a slot, or drops it.
    fn keep(&mut self) {
        if self.rng.percent(85) {
            let slot = self.rng.below(6);
            self.push(slot);
            self.put(&[SSTORE]);
        } else {
            self.put(&[POP]);
        }
    }

    /// One thing a contract does; leaves the stack as it was.
    fn statement(&mut self) {
        match self.rng.below(60) {
            0..=9 => self.storage(),
            10..=12 => self.transient(),
            13..=17 => self.environment(),
            18..=22 => self.about(),
            23..=31 => self.call(),
            32..=35 => self.precompile(),
            36..=41 if self.depth < 4 => self.create(),
            42..=43 => self.returned(),
            44..=46 => self.memory(),
            47..=48 | 58 => self.log(),
            49..=52 => self.arithmetic(),
            53 => self.repeat(),
            54..=55 => self.end(),
            56 => {
                let address = self.somebody();
                self.put(&push_address(address));
                self.put(&[SELFDESTRUCT]);
            }
            57 => self.copy(),
            _ => self.storage(),
        }
    }

    fn storage(&mut self) {
        let (from, to, value) = (self.rng.below(6), self.rng.below(6), self.rng.below(3));
        if self.rng.percent(60) {
            self.push(value);
        } else {
            self.push(from);
            self.put(&[SLOAD, PUSH1, 1, ADD]);
        }
        self.push(to);
        self.put(&[SSTORE]);
    }

    fn transient(&mut self) {
        let (key, value) = (self.rng.below(3), self.rng.below(3));
        if self.rng.percent(50) {
            self.push(value);
            self.push(key);
            self.put(&[TSTORE]);
        } else {
            self.push(key);
            self.put(&[TLOAD]);
            self.keep();
        }
    }

    fn environment(&mut self) {
        let plain = [
            ADDRESS,
            ORIGIN,
            CALLER,
            CALLVALUE,
            CALLDATASIZE,
            CODESIZE,
            GASPRICE,
            RETURNDATASIZE,
            COINBASE,
            TIMESTAMP,
            NUMBER,
            DIFFICULTY,
            GASLIMIT,
            CHAINID,
            SELFBALANCE,
            BASEFEE,
            BLOBBASEFEE,
            MSIZE,
            PC,
            GAS,
        ];
        match self.rng.below(12) {
            0 => {
                let back = self.rng.below(300);
                self.push(back);
                self.put(&[NUMBER, SUB, BLOCKHASH]);
            }
            1 => self.put(&[PUSH1, 0, BLOBHASH]),
            2 => {
                let at = self.odd();
                self.put(&push(at));
                self.put(&[CALLDATALOAD]);
            }
            _ => {
                let op = *self.rng.pick(&plain);
                self.put(&[op]);
            }
        }
        self.keep();
    }

    /// Asks about somebody.
    fn about(&mut self) {
        let address = self.somebody();
        if self.rng.percent(25) {
            let size = self.rng.below(80);
            self.push(size);
            self.put(&[PUSH1, 1, PUSH1, 0]);
            self.put(&push_address(address));
            self.put(&[EXTCODECOPY, PUSH1, 0, MLOAD]);
        } else {
            self.put(&push_address(address));
            let op = *self.rng.pick(&[BALANCE, EXTCODESIZE, EXTCODEHASH]);
            self.put(&[op]);
        }
        self.keep();
    }

    fn gas(&mut self) {
        match self.rng.below(6) {
            0 => self.put(&[GAS]),
            1 => {
                let gas = self.rng.below(3_000);
                self.push(gas);
            }
            _ => {
                let gas = self.rng.below(120_000);
                self.push(gas);
            }
        }
    }

    fn call(&mut self) {
        let op = *self.rng.pick(&[CALL, CALL, CALL, CALLCODE, DELEGATECALL, STATICCALL]);
        let sizes = [self.rng.below(70), self.rng.below(70), self.rng.below(70)];
        sizes.into_iter().for_each(|size| self.push(size));
        self.put(&[PUSH1, 0]);
        if matches!(op, CALL | CALLCODE) {
            let value = *self.rng.pick(&[0, 0, 0, 1, 3, 1 << 40]);
            self.push(value);
        }
        let address = self.somebody();
        match self.rng.below(12) {
            0 => self.put(&[ADDRESS]),
            _ => self.put(&push_address(address)),
        }
        self.gas();
        self.put(&[op]);
        self.keep();
    }

    /// Calls a precompile with an input it may understand.
    fn precompile(&mut self) {
        let number = if self.rng.percent(20) { P256 } else { 1 + self.rng.below(0x11) };
        let words = match number {
            5 => {
                let length = |rng: &mut Rng| U256::from(*rng.pick(&[0, 1, 2, 32, 33, 1025]));
                let mut words: Vec<_> = (0..3).map(|_| length(self.rng)).collect();
                words.extend((0..4).map(|_| self.odd()));
                words
            }
            1 => vec![self.odd(), U256::from(27 + self.rng.below(2)), self.odd(), self.odd()],
            6 | 7 => vec![U256::ONE, U256::from(2), U256::from(self.rng.below(3)), self.odd()],
            _ => (0..self.rng.below(7)).map(|_| self.odd()).collect(),
        };
        for (at, word) in words.iter().enumerate() {
            self.put(&push(*word));
            self.push(32 * at as u64);
            self.put(&[MSTORE]);
        }
        let size = match self.rng.below(4) {
            0 => self.rng.below(300),
            _ => 32 * words.len() as u64,
        };
        self.put(&[PUSH1, 64, PUSH2, 1, 0]);
        self.push(size);
        self.put(&[PUSH1, 0]);
        self.push(number);
        self.gas();
        self.put(&[STATICCALL]);
        self.keep();
        self.put(&[PUSH1, 64, PUSH2, 1, 0, KECCAK256]);
        self.keep();
    }

    /// Creates, calls what it made, and may do all of it again at the same address.
    fn create(&mut self) {
        let init = self.init();
        if init.len() > 2_000 {
            return self.storage();
        }
        let (salted, salt) = (self.rng.percent(60), self.rng.below(2));
        let value = *self.rng.pick(&[0, 0, 0, 1, 1 << 40]);
        for _ in 0..1 + self.rng.below(2) {
            for (at, word) in init.chunks(32).enumerate() {
                let mut padded = [0; 32];
                padded[..word.len()].copy_from_slice(word);
                self.put(&[PUSH32]);
                self.put(&padded);
                self.push(32 * at as u64);
                self.put(&[MSTORE]);
            }
            if salted {
                self.push(salt);
            }
            self.push(init.len() as u64);
            self.put(&[PUSH1, 0]);
            self.push(value);
            self.put(&[if salted { CREATE2 } else { CREATE }]);
            if self.rng.percent(60) {
                // The address stays under what a call takes.
                self.put(&[PUSH1, 0, PUSH1, 0, PUSH1, 0, PUSH1, 0, PUSH1, 0, DUP6]);
                self.gas();
                self.put(&[CALL]);
                self.keep();
            }
            self.keep();
        }
    }

    fn returned(&mut self) {
        if self.rng.percent(85) {
            self.put(&[RETURNDATASIZE, PUSH1, 0, PUSH1, 0, RETURNDATACOPY, PUSH1, 0, MLOAD]);
            self.keep();
        } else {
            let (size, from) = (self.rng.below(40), self.rng.below(40));
            self.push(size);
            self.push(from);
            self.put(&[PUSH1, 0, RETURNDATACOPY]);
        }
    }

    fn memory(&mut self) {
        let far = self.rng.percent(8);
        let at = match far {
            true => *self.rng.pick(&[100_000, 1 << 22, 1 << 34]),
            false => *self.rng.pick(&[0, 1, 31, 32, 1_000, 9_000]),
        };
        let value = self.odd();
        self.put(&push(value));
        self.push(at);
        let op = *self.rng.pick(&[MSTORE, MSTORE, MSTORE8]);
        self.put(&[op]);
        if self.rng.percent(30) {
            let size = self.rng.below(200);
            self.push(size);
            self.put(&[PUSH1, 3, PUSH1, 40, MCOPY]);
        }
        if self.rng.percent(60) {
            let size = self.rng.below(200);
            self.push(size);
            self.put(&[PUSH1, 0, KECCAK256]);
            self.keep();
        }
    }

    fn log(&mut self) {
        let topics = self.rng.below(5) as u8;
        for _ in 0..topics {
            let topic = self.odd();
            self.put(&push(topic));
        }
        let size = self.rng.below(70);
        self.push(size);
        self.put(&[PUSH1, 0, LOG0 + topics]);
    }

    fn arithmetic(&mut self) {
        let two = [
            ADD, MUL, SUB, DIV, SDIV, MOD, SMOD, EXP, SIGNEXTEND, LT, GT, SLT, SGT, EQ, AND, OR,
            XOR, BYTE, SHL, SHR, SAR,
        ];
        let values = [self.odd(), self.odd(), self.odd()];
        values.iter().for_each(|value| self.put(&push(*value)));
        match self.rng.below(12) {
            0 => self.put(&[POP, POP, CLZ]),
            1 => self.put(&[ADDMOD]),
            2 => self.put(&[MULMOD]),
            3 => self.put(&[POP, POP, NOT]),
            4 => self.put(&[POP, POP, ISZERO]),
            _ => {
                let (first, second) = (*self.rng.pick(&two), *self.rng.pick(&two));
                self.put(&[first, second]);
            }
        }
        self.keep();
    }

    /// A loop around one statement.
    fn repeat(&mut self) {
        let times = 1 + self.rng.below(40);
        self.push(times);
        let top = self.out.len() as u16;
        self.put(&[JUMPDEST]);
        self.storage();
        let [high, low] = top.to_be_bytes();
        self.put(&[PUSH1, 1, SWAP1, SUB, DUP1, PUSH2, high, low, JUMPI, POP]);
    }

    fn copy(&mut self) {
        let op = *self.rng.pick(&[CALLDATACOPY, CODECOPY]);
        let from = self.odd();
        let size = self.rng.below(100);
        self.push(size);
        self.put(&push(from));
        self.put(&[PUSH1, 0, op, PUSH1, 0, MLOAD]);
        self.keep();
    }

    /// Ends, well or badly.
    fn end(&mut self) {
        let undefined = [0x0c, 0x21, 0x4b, 0xa5, 0xb0, 0xef, 0xf6, 0xfb];
        let size = self.rng.below(70);
        self.push(size);
        self.put(&[PUSH1, 0]);
        let bad = *self.rng.pick(&undefined);
        let op = *self.rng.pick(&[STOP, REVERT, REVERT, RETURN, RETURN, INVALID, JUMP, bad]);
        self.put(&[op]);
    }
}
