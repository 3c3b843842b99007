//! What the tests share: worlds of nodes in one process, a clock turned by hand, small tools.

pub mod answers;
pub mod anvil;
pub mod browser;
pub mod bytecode;
pub mod clock;
pub mod contracts;
pub mod crashing;
pub mod drive;
pub mod fake_chain;
pub mod fuzz;
pub mod hostile;
pub mod keys;
pub mod live;
pub mod load;
pub mod mesh;
pub mod npm;
pub mod openrpc;
pub mod posted;
pub mod process;
pub mod python;
pub mod rival;
pub mod sim;
pub mod toy_bft;
pub mod toy_ordered;
pub mod txs;
pub mod world;
