//! What the protocol itself does inside a block: fee state, EIP-2935 and EIP-4788 ring buffers, system modules.
