// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Bridge} from "../cross/Bridge.sol";
import {Tokens} from "./Tokens.sol";

/// The bridge on the parent chain (OP's L1StandardBridge). It holds tokens of the parent chain, for
/// each pair with a token of the chain as many as there came: so a token of the chain, whoever made
/// it, can take out only what was put in for it. No owner, no upgrade.
///
/// A token that keeps a part of a transfer counts by what came. One whose balances change by
/// themselves (rebasing) must not be bridged: what it adds belongs to nobody, and what it takes
/// away lacks the last who withdraws. Wrap it before.
contract StandardBridge is Bridge {
    /// OP's older names for what left to the chain and came from it.
    event ETHDepositInitiated(address indexed from, address indexed to, uint256 amount, bytes extraData);
    event ETHWithdrawalFinalized(address indexed from, address indexed to, uint256 amount, bytes extraData);
    event ERC20DepositInitiated(
        address indexed l1Token,
        address indexed l2Token,
        address indexed from,
        address to,
        uint256 amount,
        bytes extraData
    );
    event ERC20WithdrawalFinalized(
        address indexed l1Token,
        address indexed l2Token,
        address indexed from,
        address to,
        uint256 amount,
        bytes extraData
    );

    /// Nothing lies there that could send.
    error NoMessenger(address messenger);
    /// More than came in for the pair.
    error DepositsShort(uint256 held, uint256 needed);

    string public constant version = "1.0.0";

    address private constant L2_BRIDGE = 0x4200000000000000000000000000000000000010;
    /// Gas on the chain for coins that come without a call.
    uint32 private constant COINS_GAS = 200_000;

    address private immutable _messenger;

    /// Tokens held, by the parent chain's token and the chain's.
    mapping(address => mapping(address => uint256)) public deposits;

    /// For one messenger, and so for one chain.
    constructor(address messenger_) {
        if (messenger_.code.length == 0) revert NoMessenger(messenger_);
        _messenger = messenger_;
    }

    /// Coins for the sender on the chain.
    receive() external payable onlyAccount {
        _sendCoins(msg.sender, COINS_GAS, "");
    }

    /// Coins for the caller on the chain.
    function depositETH(uint32 minGasLimit, bytes calldata extraData) external payable onlyAccount {
        _sendCoins(msg.sender, minGasLimit, extraData);
    }

    /// Coins for anybody on the chain.
    function depositETHTo(address to, uint32 minGasLimit, bytes calldata extraData) external payable {
        _sendCoins(to, minGasLimit, extraData);
    }

    /// Tokens for the caller on the chain.
    function depositERC20(
        address l1Token,
        address l2Token,
        uint256 amount,
        uint32 minGasLimit,
        bytes calldata extraData
    ) external onlyAccount {
        _sendTokens(l1Token, l2Token, msg.sender, amount, minGasLimit, extraData);
    }

    /// Tokens for anybody on the chain.
    function depositERC20To(
        address l1Token,
        address l2Token,
        address to,
        uint256 amount,
        uint32 minGasLimit,
        bytes calldata extraData
    ) external {
        _sendTokens(l1Token, l2Token, to, amount, minGasLimit, extraData);
    }

    /// The messenger that tells what left.
    function messenger() public view override returns (address) {
        return _messenger;
    }

    /// The bridge on the chain.
    function otherBridge() public pure override returns (address) {
        return L2_BRIDGE;
    }

    /// OP's older name.
    function l2TokenBridge() external pure returns (address) {
        return L2_BRIDGE;
    }

    function _take(address localToken, address remoteToken, uint256 amount)
        internal
        override
        returns (uint256 came)
    {
        came = Tokens.take(localToken, msg.sender, amount);
        deposits[localToken][remoteToken] += came;
    }

    function _give(
        address localToken,
        address remoteToken,
        address,
        address to,
        uint256 amount,
        bytes calldata
    ) internal override returns (bool) {
        uint256 held = deposits[localToken][remoteToken];
        // A token of the chain that was made up, or mints itself, takes nothing of the others'.
        if (held < amount) revert DepositsShort(held, amount);
        deposits[localToken][remoteToken] = held - amount;
        Tokens.send(localToken, to, amount);
        return true;
    }

    function _coinsLeft(address to, uint256 amount, bytes memory extraData) internal override {
        emit ETHDepositInitiated(msg.sender, to, amount, extraData);
    }

    function _coinsCame(address from, address to, uint256 amount, bytes memory extraData) internal override {
        emit ETHWithdrawalFinalized(from, to, amount, extraData);
    }

    function _tokensLeft(
        address localToken,
        address remoteToken,
        address to,
        uint256 amount,
        bytes memory extraData
    ) internal override {
        emit ERC20DepositInitiated(localToken, remoteToken, msg.sender, to, amount, extraData);
    }

    function _tokensCame(
        address localToken,
        address remoteToken,
        address from,
        address to,
        uint256 amount,
        bytes memory extraData
    ) internal override {
        emit ERC20WithdrawalFinalized(localToken, remoteToken, from, to, amount, extraData);
    }
}
