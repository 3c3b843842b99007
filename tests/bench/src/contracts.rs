//! Contracts that workloads use: an OpenZeppelin ERC-20 and Uniswap v2, from pinned npm packages.

use std::path::{Path, PathBuf};

use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::{SolCall, SolValue, sol};
use causeway_tests::npm;
use eyre::{ContextCompat, WrapErr};
use tempfile::TempDir;

use crate::sign::{Call, Sender, Signed};

sol! {
    function transfer(address to, uint256 amount) returns (bool);
    function approve(address spender, uint256 amount) returns (bool);
    function balanceOf(address account) returns (uint256);
    function addLiquidity(address tokenA, address tokenB, uint256 amountA, uint256 amountB, uint256 minA, uint256 minB, address to, uint256 deadline);
    function swapExactTokensForTokens(uint256 amountIn, uint256 amountOutMin, address[] path, address to, uint256 deadline);
}

/// Number of the sender who deploys.
const DEPLOYER: u64 = 1 << 32;
/// Tokens of a deployer at the beginning, and of either side of a pair.
const SUPPLY: u128 = 1 << 100;
const RESERVE: u128 = 1 << 90;

/// Where the npm packages are.
pub fn e2e() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../e2e")
}

/// Creation code of the ERC-20 in `tests/e2e/contracts/Token.sol`, without constructor arguments.
pub fn token_code() -> eyre::Result<Bytes> {
    let (dir, e2e) = (TempDir::new()?, e2e());
    npm::install(&e2e)?;
    let script = format!("import {{ compile }} from './compile.mjs'; compile({:?})", dir.path());
    npm::node(&e2e, &["--input-type=module", "--eval", &script])?;
    code(&dir.path().join("Token.json"))
}

fn code(artifact: &Path) -> eyre::Result<Bytes> {
    let text = std::fs::read_to_string(artifact)
        .wrap_err_with(|| format!("cannot read {}", artifact.display()))?;
    let json: serde_json::Value = serde_json::from_str(&text)?;
    let code = json["bytecode"].as_str().or_else(|| json["evm"]["bytecode"]["object"].as_str());
    let code = code.wrap_err_with(|| format!("{} holds no bytecode", artifact.display()))?;
    code.parse().wrap_err_with(|| format!("{} holds no bytecode", artifact.display()))
}

/// `transfer` of an ERC-20.
pub fn token_transfer(token: Address, to: Address, amount: u128) -> Call {
    let input = transferCall { to, amount: U256::from(amount) }.abi_encode();
    Call::contract(token, input, 80_000)
}

/// The question for a balance of tokens.
pub fn balance_of(account: Address) -> Bytes {
    balanceOfCall { account }.abi_encode().into()
}

/// An account that makes contracts, and what it has made so far.
pub struct Deployer {
    sender: Sender,
    /// Signed so far, in order.
    pub txs: Vec<Signed>,
    token_code: Bytes,
}

impl Deployer {
    /// Has made nothing yet.
    pub fn new() -> eyre::Result<Self> {
        let sender = Sender::numbered(DEPLOYER)?;
        Ok(Self { sender, txs: Vec::new(), token_code: token_code()? })
    }

    /// Needs funds.
    pub fn address(&self) -> Address {
        self.sender.address()
    }

    fn call(&mut self, call: Call) {
        let tx = self.sender.sign(0, call);
        self.txs.push(tx);
    }

    fn create(&mut self, code: Bytes, arguments: Vec<u8>) -> Address {
        let address = self.address().create(self.sender.nonce);
        let code: Vec<u8> = [&code[..], &arguments].concat();
        self.call(Call::create(code.into(), 6_000_000));
        address
    }

    /// A new token, all of it the deployer's.
    pub fn token(&mut self) -> Address {
        let arguments = ("Token", "TOK", U256::from(SUPPLY)).abi_encode_params();
        self.create(self.token_code.clone(), arguments)
    }

    /// Gives some of it away.
    pub fn give(&mut self, token: Address, to: Address, amount: u128) {
        self.call(token_transfer(token, to, amount));
    }

    /// Uniswap v2 with so many pairs of new tokens.
    pub fn uniswap(&mut self, pairs: usize) -> eyre::Result<Uniswap> {
        let packages = e2e().join("node_modules/@uniswap");
        let core = code(&packages.join("v2-core/build/UniswapV2Factory.json"))?;
        let periphery = packages.join("v2-periphery/build");
        let factory = self.create(core, self.address().abi_encode());
        let weth = self.create(code(&periphery.join("WETH9.json"))?, Vec::new());
        let router = code(&periphery.join("UniswapV2Router02.json"))?;
        let router = self.create(router, (factory, weth).abi_encode_params());
        let to = self.address();
        let pairs = (0..pairs).map(|_| [self.token(), self.token()]).collect::<Vec<_>>();
        for [a, b] in &pairs {
            for token in [a, b] {
                self.call(approve(*token, router));
            }
            let amount = U256::from(RESERVE);
            let call = addLiquidityCall {
                tokenA: *a,
                tokenB: *b,
                amountA: amount,
                amountB: amount,
                minA: U256::ZERO,
                minB: U256::ZERO,
                to,
                deadline: U256::MAX,
            };
            self.call(Call::contract(router, call.abi_encode(), 5_000_000));
        }
        Ok(Uniswap { router, pairs })
    }
}

/// All of an account's tokens may be spent by another.
pub fn approve(token: Address, spender: Address) -> Call {
    let input = approveCall { spender, amount: U256::MAX }.abi_encode();
    Call::contract(token, input, 80_000)
}

/// Uniswap v2.
pub struct Uniswap {
    /// Its router.
    pub router: Address,
    /// Two tokens for each pair.
    pub pairs: Vec<[Address; 2]>,
}

impl Uniswap {
    /// A swap of some of one token for the other.
    pub fn swap(&self, path: [Address; 2], amount: u128, to: Address) -> Call {
        let call = swapExactTokensForTokensCall {
            amountIn: U256::from(amount),
            amountOutMin: U256::ZERO,
            path: path.to_vec(),
            to,
            deadline: U256::MAX,
        };
        Call::contract(self.router, call.abi_encode(), 200_000)
    }
}
