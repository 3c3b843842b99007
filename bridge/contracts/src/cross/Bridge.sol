// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Senders} from "./Senders.sol";

/// What a bridge asks its messenger.
interface IMessenger {
    /// Sends a message to the other messenger.
    function sendMessage(address target, bytes calldata message, uint32 minGasLimit) external payable;
    /// Who sent the message that is being called.
    function xDomainMessageSender() external view returns (address);
}

/// One of two bridges for coins and tokens, one on each chain, in the shape of OP's: each tells the
/// other by the messengers what it took, and the other gives as much. The parent chain's holds the
/// tokens, the chain's mints and burns theirs.
abstract contract Bridge {
    /// Coins left.
    event ETHBridgeInitiated(address indexed from, address indexed to, uint256 amount, bytes extraData);
    /// Coins came.
    event ETHBridgeFinalized(address indexed from, address indexed to, uint256 amount, bytes extraData);
    /// Tokens left.
    event ERC20BridgeInitiated(
        address indexed localToken,
        address indexed remoteToken,
        address indexed from,
        address to,
        uint256 amount,
        bytes extraData
    );
    /// Tokens came.
    event ERC20BridgeFinalized(
        address indexed localToken,
        address indexed remoteToken,
        address indexed from,
        address to,
        uint256 amount,
        bytes extraData
    );

    /// A contract names who gets it on the other chain, where its address may be nobody's.
    error OnlyAccounts(address caller);
    /// Only the other bridge may, by the messenger.
    error OnlyOtherBridge(address caller);
    /// Nobody gets anything there.
    error RecipientInvalid(address to);
    /// Nothing to send.
    error AmountZero();
    /// Other coins came than the message says.
    error ValueDiffers(uint256 found, uint256 expected);
    /// The recipient does not take them.
    error CoinsNotTaken(address to, uint256 amount);
    /// Within a call of a token.
    error Reentered();

    bool private transient _locked;

    /// What tokens are called from, whose hooks may call back: one amount at a time is measured
    ///.
    modifier alone() {
        if (_locked) revert Reentered();
        _locked = true;
        _;
        _locked = false;
    }

    /// An account that can have its address on the other chain.
    modifier onlyAccount() {
        if (!Senders.callerHasKey()) revert OnlyAccounts(msg.sender);
        _;
    }

    /// A message of the other bridge.
    modifier onlyOther() {
        if (msg.sender != messenger() || IMessenger(messenger()).xDomainMessageSender() != otherBridge()) {
            revert OnlyOtherBridge(msg.sender);
        }
        _;
    }

    /// Coins for the caller on the other chain.
    function bridgeETH(uint32 minGasLimit, bytes calldata extraData) external payable onlyAccount {
        _sendCoins(msg.sender, minGasLimit, extraData);
    }

    /// Coins for anybody on the other chain.
    function bridgeETHTo(address to, uint32 minGasLimit, bytes calldata extraData) external payable {
        _sendCoins(to, minGasLimit, extraData);
    }

    /// Tokens for the caller on the other chain.
    function bridgeERC20(
        address localToken,
        address remoteToken,
        uint256 amount,
        uint32 minGasLimit,
        bytes calldata extraData
    ) external onlyAccount {
        _sendTokens(localToken, remoteToken, msg.sender, amount, minGasLimit, extraData);
    }

    /// Tokens for anybody on the other chain.
    function bridgeERC20To(
        address localToken,
        address remoteToken,
        address to,
        uint256 amount,
        uint32 minGasLimit,
        bytes calldata extraData
    ) external {
        _sendTokens(localToken, remoteToken, to, amount, minGasLimit, extraData);
    }

    /// Coins from the other chain. A recipient that does not take them makes the message fail, which
    /// keeps them in the messenger.
    function finalizeBridgeETH(address from, address to, uint256 amount, bytes calldata extraData)
        external
        payable
        onlyOther
    {
        // Verus: what is given is what came.
        if (msg.value != amount) revert ValueDiffers(msg.value, amount);
        if (to == address(0) || to == address(this) || to == messenger()) revert RecipientInvalid(to);
        emit ETHBridgeFinalized(from, to, amount, extraData);
        _coinsCame(from, to, amount, extraData);
        if (!_pay(to, amount)) revert CoinsNotTaken(to, amount);
    }

    /// Tokens from the other chain; as the other one names them, `localToken` is this chain's.
    function finalizeBridgeERC20(
        address localToken,
        address remoteToken,
        address from,
        address to,
        uint256 amount,
        bytes calldata extraData
    ) external onlyOther alone {
        if (!_give(localToken, remoteToken, from, to, amount, extraData)) return;
        emit ERC20BridgeFinalized(localToken, remoteToken, from, to, amount, extraData);
        _tokensCame(localToken, remoteToken, from, to, amount, extraData);
    }

    /// The messenger of this chain.
    function messenger() public view virtual returns (address);

    /// The bridge on the other chain.
    function otherBridge() public view virtual returns (address);

    /// Takes tokens of the caller; returns how many there are to give.
    function _take(address localToken, address remoteToken, uint256 amount) internal virtual returns (uint256);

    /// Gives tokens; returns whether it did, or they go back.
    function _give(
        address localToken,
        address remoteToken,
        address from,
        address to,
        uint256 amount,
        bytes calldata extraData
    ) internal virtual returns (bool);

    // OP's older events, which are others on each chain.

    function _coinsLeft(address to, uint256 amount, bytes memory extraData) internal virtual;

    function _coinsCame(address from, address to, uint256 amount, bytes memory extraData) internal virtual;

    function _tokensLeft(
        address localToken,
        address remoteToken,
        address to,
        uint256 amount,
        bytes memory extraData
    ) internal virtual;

    function _tokensCame(
        address localToken,
        address remoteToken,
        address from,
        address to,
        uint256 amount,
        bytes memory extraData
    ) internal virtual;

    function _sendCoins(address to, uint32 minGasLimit, bytes memory extraData) internal {
        _checkRecipient(to);
        emit ETHBridgeInitiated(msg.sender, to, msg.value, extraData);
        _coinsLeft(to, msg.value, extraData);
        bytes memory message = abi.encodeCall(this.finalizeBridgeETH, (msg.sender, to, msg.value, extraData));
        IMessenger(messenger()).sendMessage{value: msg.value}(otherBridge(), message, minGasLimit);
    }

    function _sendTokens(
        address localToken,
        address remoteToken,
        address to,
        uint256 amount,
        uint32 minGasLimit,
        bytes memory extraData
    ) internal alone {
        _checkRecipient(to);
        amount = _take(localToken, remoteToken, amount);
        if (amount == 0) revert AmountZero();
        emit ERC20BridgeInitiated(localToken, remoteToken, msg.sender, to, amount, extraData);
        _tokensLeft(localToken, remoteToken, to, amount, extraData);
        _tell(localToken, remoteToken, msg.sender, to, amount, minGasLimit, extraData);
    }

    /// Tells the other bridge to give tokens.
    function _tell(
        address localToken,
        address remoteToken,
        address from,
        address to,
        uint256 amount,
        uint32 minGasLimit,
        bytes memory extraData
    ) internal {
        bytes memory message = abi.encodeCall(
            this.finalizeBridgeERC20, (remoteToken, localToken, from, to, amount, extraData)
        );
        IMessenger(messenger()).sendMessage(otherBridge(), message, minGasLimit);
    }

    function _checkRecipient(address to) private view {
        if (to == address(0) || to == otherBridge()) revert RecipientInvalid(to);
    }

    /// Coins alone; the answer is not read.
    function _pay(address to, uint256 value) private returns (bool success) {
        assembly ("memory-safe") {
            success := call(gas(), to, value, 0, 0, 0, 0)
        }
    }
}
