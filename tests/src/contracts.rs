//! Small EVM contracts assembled by hand: one for each thing a random transaction may do.

use alloy_primitives::{Address, Bytes, U256, keccak256};

/// Opcodes by their names in the Yellow Paper.
#[allow(missing_docs)]
pub mod op {
    pub const STOP: u8 = 0x00;
    pub const ADD: u8 = 0x01;
    pub const SUB: u8 = 0x03;
    pub const ADDRESS: u8 = 0x30;
    pub const CALLER: u8 = 0x33;
    pub const CALLVALUE: u8 = 0x34;
    pub const CALLDATALOAD: u8 = 0x35;
    pub const CALLDATASIZE: u8 = 0x36;
    pub const CALLDATACOPY: u8 = 0x37;
    pub const CODECOPY: u8 = 0x39;
    pub const BLOCKHASH: u8 = 0x40;
    pub const COINBASE: u8 = 0x41;
    pub const TIMESTAMP: u8 = 0x42;
    pub const NUMBER: u8 = 0x43;
    pub const PREVRANDAO: u8 = 0x44;
    pub const GASLIMIT: u8 = 0x45;
    pub const CHAINID: u8 = 0x46;
    pub const BASEFEE: u8 = 0x48;
    pub const MSTORE: u8 = 0x52;
    pub const MSTORE8: u8 = 0x53;
    pub const SLOAD: u8 = 0x54;
    pub const SSTORE: u8 = 0x55;
    pub const JUMP: u8 = 0x56;
    pub const GAS: u8 = 0x5a;
    pub const JUMPDEST: u8 = 0x5b;
    pub const TLOAD: u8 = 0x5c;
    pub const TSTORE: u8 = 0x5d;
    pub const PUSH0: u8 = 0x5f;
    pub const DUP1: u8 = 0x80;
    pub const DUP6: u8 = 0x85;
    pub const LOG0: u8 = 0xa0;
    pub const LOG2: u8 = 0xa2;
    pub const CALL: u8 = 0xf1;
    pub const RETURN: u8 = 0xf3;
    pub const DELEGATECALL: u8 = 0xf4;
    pub const CREATE2: u8 = 0xf5;
    pub const REVERT: u8 = 0xfd;
    pub const SELFDESTRUCT: u8 = 0xff;
}

/// Bytes of code, grown from front to back.
#[derive(Debug, Clone, Default)]
pub struct Asm(Vec<u8>);

impl Asm {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Opcodes without operands.
    pub fn ops(mut self, ops: &[u8]) -> Self {
        self.0.extend_from_slice(ops);
        self
    }

    /// The shortest push of a value.
    pub fn push(mut self, value: u64) -> Self {
        let bytes = value.to_be_bytes();
        let digits = &bytes[(value.leading_zeros() / 8) as usize..];
        self.0.push(op::PUSH0 + digits.len() as u8);
        self.0.extend_from_slice(digits);
        self
    }

    /// A push of two bytes, whatever the value: for offsets that depend on the code's length.
    fn push2(mut self, value: usize) -> Self {
        let value = u16::try_from(value).expect("test contracts are small");
        self.0.push(op::PUSH0 + 2);
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// The code.
    pub fn code(self) -> Vec<u8> {
        self.0
    }

    /// This code as a constructor that then returns `runtime`.
    pub fn deploy(self, runtime: &[u8]) -> Vec<u8> {
        const RETURNING: usize = 11;
        let offset = self.0.len() + RETURNING;
        let mut code = self
            .push2(runtime.len())
            .ops(&[op::DUP1])
            .push2(offset)
            .ops(&[op::PUSH0, op::CODECOPY, op::PUSH0, op::RETURN])
            .code();
        debug_assert_eq!(code.len(), offset);
        code.extend_from_slice(runtime);
        code
    }

    /// Code that copies `data` to memory 0, then goes on with `then`; the data lies behind it.
    fn with_data(data: &[u8], then: Self) -> Vec<u8> {
        const COPYING: usize = 8;
        let mut code = Self::new()
            .push2(data.len())
            .push2(COPYING + then.0.len())
            .ops(&[op::PUSH0, op::CODECOPY])
            .ops(&then.0)
            .code();
        code.extend_from_slice(data);
        code
    }
}

/// What a contract does when it is called; words are those of the call data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contract {
    /// Writes word 1 to slot word 0, returns what was there.
    Storage,
    /// Writes, then reverts with word 0.
    Reverter,
    /// Emits a log without topics and one with two.
    Logger,
    /// Self-destructs to its caller; in a later transaction that only moves its balance (EIP-6780).
    Mortal,
    /// Creates a [`Contract::Mortal`] with a written slot and destructs it, always at one address.
    Mayfly,
    /// CREATE2 of a [`Contract::Storage`] with salt word 0; notes its address, zero on a collision.
    Creator,
    /// Burns all gas in a loop.
    Burner,
    /// Calls the address in word 0 with all value it got.
    Forwarder,
    /// Writes down everything it can see of its block, the parent's hash included.
    Witness,
    /// Runs the code of the address in word 0 as its own, on the words after it.
    Proxy,
}

impl Contract {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Storage,
        Self::Reverter,
        Self::Logger,
        Self::Mortal,
        Self::Mayfly,
        Self::Creator,
        Self::Burner,
        Self::Forwarder,
        Self::Witness,
        Self::Proxy,
    ];

    /// Creation code.
    pub fn init(self) -> Bytes {
        let constructor = match self {
            Self::Creator | Self::Storage => Asm::new().ops(&[op::CALLER, op::PUSH0, op::SSTORE]),
            _ => Asm::new(),
        };
        constructor.deploy(&self.runtime()).into()
    }

    /// Code that is called.
    pub fn runtime(self) -> Vec<u8> {
        use op::*;
        match self {
            Self::Storage => Asm::new()
                .ops(&[PUSH0, CALLDATALOAD, SLOAD])
                .push(32)
                .ops(&[CALLDATALOAD, PUSH0, CALLDATALOAD, SSTORE, PUSH0, MSTORE])
                .push(32)
                .ops(&[PUSH0, RETURN])
                .code(),
            Self::Reverter => Asm::new()
                .push(1)
                .ops(&[PUSH0, SSTORE, PUSH0, CALLDATALOAD, PUSH0, MSTORE])
                .push(32)
                .ops(&[PUSH0, REVERT])
                .code(),
            Self::Logger => Asm::new()
                .push(32)
                .ops(&[CALLDATALOAD, PUSH0, MSTORE, CALLER, PUSH0, CALLDATALOAD])
                .push(32)
                .ops(&[PUSH0, LOG2, PUSH0, PUSH0, LOG0, STOP])
                .code(),
            Self::Mortal => vec![CALLER, SELFDESTRUCT],
            Self::Mayfly => Asm::with_data(
                &mayfly_child(),
                Asm::new()
                    .ops(&[PUSH0])
                    .push2(mayfly_child().len())
                    .ops(&[PUSH0, CALLVALUE, CREATE2])
                    .ops(&[PUSH0, PUSH0, PUSH0, PUSH0, PUSH0, DUP6, GAS, CALL, STOP]),
            ),
            Self::Creator => {
                let child = Self::Storage.init();
                let then = Asm::new().ops(&[PUSH0, CALLDATALOAD]).push2(child.len()).ops(&[
                    PUSH0,
                    PUSH0,
                    CREATE2,
                    PUSH0,
                    CALLDATALOAD,
                    SSTORE,
                    STOP,
                ]);
                Asm::with_data(&child, then)
            }
            Self::Burner => vec![JUMPDEST, PUSH0, JUMP],
            Self::Forwarder => Asm::new()
                .ops(&[PUSH0, PUSH0, PUSH0, PUSH0, CALLVALUE, PUSH0, CALLDATALOAD, GAS, CALL])
                .ops(&[PUSH0, MSTORE])
                .push(32)
                .ops(&[PUSH0, RETURN])
                .code(),
            Self::Witness => Asm::new()
                .ops(&[CALLER, PUSH0, TSTORE])
                .push(1)
                .ops(&[NUMBER, SUB, BLOCKHASH, TIMESTAMP, ADD, PREVRANDAO, ADD, BASEFEE, ADD])
                .ops(&[COINBASE, ADD, GASLIMIT, ADD, CHAINID, ADD, PUSH0, TLOAD, ADD])
                .ops(&[NUMBER, SSTORE, STOP])
                .code(),
            Self::Proxy => Asm::new()
                .push(32)
                .ops(&[CALLDATASIZE, SUB])
                .push(32)
                .ops(&[PUSH0, CALLDATACOPY, PUSH0, PUSH0])
                .push(32)
                .ops(&[CALLDATASIZE, SUB, PUSH0, PUSH0, CALLDATALOAD, GAS, DELEGATECALL])
                .ops(&[PUSH0, MSTORE])
                .push(32)
                .ops(&[PUSH0, RETURN])
                .code(),
        }
    }
}

fn mayfly_child() -> Vec<u8> {
    Asm::new().push(7).ops(&[op::PUSH0, op::SSTORE]).deploy(&Contract::Mortal.runtime())
}

/// Where a [`Contract::Mayfly`] at an address puts what it creates.
pub fn mayfly_child_of(mayfly: Address) -> Address {
    mayfly.create2(U256::ZERO.to_be_bytes(), keccak256(mayfly_child()))
}

/// Creation code that destructs the contract before it exists: its value ceases to exist.
pub fn burning_init() -> Bytes {
    Bytes::from_static(&[op::ADDRESS, op::SELFDESTRUCT])
}

/// Creation codes that fail, each in another way, or that leave an account without code.
pub fn odd_inits() -> Vec<Bytes> {
    use op::*;
    let returning_ef = Asm::new().push(0xef).ops(&[PUSH0, MSTORE8]).push(1).ops(&[PUSH0, RETURN]);
    let too_large = Asm::new().push(24_577).ops(&[PUSH0, RETURN]);
    vec![
        Bytes::new(),
        Bytes::from_static(&[PUSH0, PUSH0, REVERT]),
        Bytes::from_static(&[JUMPDEST, PUSH0, JUMP]),
        Bytes::from_static(&[ADD]),
        Bytes::from_static(&[0xfe]),
        returning_ef.code().into(),
        too_large.code().into(),
        vec![STOP; 49_153].into(),
    ]
}

/// Call data of 32-byte words.
pub fn words(words: &[U256]) -> Bytes {
    words.iter().flat_map(|word| word.to_be_bytes::<32>()).collect::<Vec<u8>>().into()
}
