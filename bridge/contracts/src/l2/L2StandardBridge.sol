// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Bridge} from "../cross/Bridge.sol";
import {Counterpart} from "../cross/Counterpart.sol";
import {IBridgedToken} from "./BridgedToken.sol";

/// The bridge on the chain, at 0x4200000000000000000000000000000000000010. It mints tokens for those
/// that the parent chain's bridge holds, and burns them when they leave; it holds nothing. Tokens of
/// the chain itself have no other on the parent chain, so they stay.
contract L2StandardBridge is Counterpart, Bridge {
    /// OP's older names for what left to the parent chain and came from it.
    event WithdrawalInitiated(
        address indexed l1Token,
        address indexed l2Token,
        address indexed from,
        address to,
        uint256 amount,
        bytes extraData
    );
    event DepositFinalized(
        address indexed l1Token,
        address indexed l2Token,
        address indexed from,
        address to,
        uint256 amount,
        bytes extraData
    );
    /// Tokens came for a contract that is not the other of the pair: they go back to `from`.
    event ERC20BridgeReturned(
        address indexed localToken,
        address indexed remoteToken,
        address indexed from,
        address to,
        uint256 amount,
        bytes extraData
    );

    /// The token does not name the other one, or not this bridge.
    error NotAPair(address localToken, address remoteToken);
    /// Nothing lies there yet: the message can be called again once it does.
    error NoToken(address localToken);
    /// Coins came beside tokens.
    error CoinsRefused(uint256 value);

    string public constant version = "1.0.0";

    address private constant MESSENGER = 0x4200000000000000000000000000000000000007;
    /// What OP's older functions name the gas coin by.
    address private constant GAS_COIN = 0xDeadDeAddeAddEAddeadDEaDDEAdDeaDDeAD0000;
    /// Gas on the parent chain for coins that come without a call.
    uint32 private constant COINS_GAS = 200_000;
    /// Gas on the parent chain for tokens that go back.
    uint32 private constant RETURN_GAS = 200_000;

    /// Coins for the sender on the parent chain.
    receive() external payable onlyAccount {
        _sendCoins(msg.sender, COINS_GAS, "");
    }

    /// Tokens, or coins (`0xDeadDeAddeAddEAddeadDEaDDEAdDeaDDeAD0000`), for the caller on the parent
    /// chain.
    function withdraw(address l2Token, uint256 amount, uint32 minGasLimit, bytes calldata extraData)
        external
        payable
        onlyAccount
    {
        _withdraw(l2Token, msg.sender, amount, minGasLimit, extraData);
    }

    /// Tokens, or coins, for anybody on the parent chain.
    function withdrawTo(
        address l2Token,
        address to,
        uint256 amount,
        uint32 minGasLimit,
        bytes calldata extraData
    ) external payable {
        _withdraw(l2Token, to, amount, minGasLimit, extraData);
    }

    /// The messenger that tells what left.
    function messenger() public pure override returns (address) {
        return MESSENGER;
    }

    /// The bridge on the parent chain; zero if there is none.
    function otherBridge() public view override returns (address) {
        return _counterpart;
    }

    /// OP's older name.
    function l1TokenBridge() external view returns (address) {
        return _counterpart;
    }

    function _withdraw(
        address l2Token,
        address to,
        uint256 amount,
        uint32 minGasLimit,
        bytes calldata extraData
    ) private {
        if (l2Token == GAS_COIN) {
            if (msg.value != amount) revert ValueDiffers(msg.value, amount);
            _sendCoins(to, minGasLimit, extraData);
        } else {
            if (msg.value != 0) revert CoinsRefused(msg.value);
            _sendTokens(l2Token, IBridgedToken(l2Token).remoteToken(), to, amount, minGasLimit, extraData);
        }
    }

    function _take(address localToken, address remoteToken, uint256 amount)
        internal
        override
        returns (uint256)
    {
        if (!_isPair(localToken, remoteToken)) revert NotAPair(localToken, remoteToken);
        IBridgedToken(localToken).burn(msg.sender, amount);
        return amount;
    }

    function _give(
        address localToken,
        address remoteToken,
        address from,
        address to,
        uint256 amount,
        bytes calldata extraData
    ) internal override returns (bool) {
        if (localToken.code.length == 0) revert NoToken(localToken);
        if (_isPair(localToken, remoteToken)) {
            IBridgedToken(localToken).mint(to, amount);
            return true;
        }
        emit ERC20BridgeReturned(localToken, remoteToken, from, to, amount, extraData);
        _tell(localToken, remoteToken, to, from, amount, RETURN_GAS, extraData);
        return false;
    }

    function _coinsLeft(address to, uint256 amount, bytes memory extraData) internal override {
        emit WithdrawalInitiated(address(0), GAS_COIN, msg.sender, to, amount, extraData);
    }

    function _coinsCame(address from, address to, uint256 amount, bytes memory extraData) internal override {
        emit DepositFinalized(address(0), GAS_COIN, from, to, amount, extraData);
    }

    function _tokensLeft(
        address localToken,
        address remoteToken,
        address to,
        uint256 amount,
        bytes memory extraData
    ) internal override {
        emit WithdrawalInitiated(remoteToken, localToken, msg.sender, to, amount, extraData);
    }

    function _tokensCame(
        address localToken,
        address remoteToken,
        address from,
        address to,
        uint256 amount,
        bytes memory extraData
    ) internal override {
        emit DepositFinalized(remoteToken, localToken, from, to, amount, extraData);
    }

    /// Whether a contract says that it is minted and burnt here for a token of the parent chain. It
    /// may say so and do otherwise: the other bridge gives it no more than came for it.
    function _isPair(address localToken, address remoteToken) private view returns (bool) {
        return _told(localToken, IBridgedToken.remoteToken.selector) == uint160(remoteToken)
            && _told(localToken, IBridgedToken.bridge.selector) == uint160(address(this));
    }

    /// The word that a contract answers, or one that is no address.
    function _told(address token, bytes4 selector) private view returns (uint256 answer) {
        assembly ("memory-safe") {
            mstore(0, selector)
            let success := staticcall(gas(), token, 0, 4, 0, 32)
            answer := not(0)
            if and(success, gt(returndatasize(), 31)) { answer := mload(0) }
        }
    }
}
