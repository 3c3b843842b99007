// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {BridgedToken} from "./BridgedToken.sol";

/// Creates tokens that the bridge mints and burns, at 0x4200000000000000000000000000000000000012
/// (OP's OptimismMintableERC20Factory). Anybody may create one for a token of the parent chain: its
/// address is made of that token's and of what is given, whoever calls. Nothing here knows the parent
/// chain's token: give its own name, symbol and decimals, or amounts will be shown otherwise.
contract BridgedTokenFactory {
    /// OP's older event.
    event StandardL2TokenCreated(address indexed remoteToken, address indexed localToken);
    /// A token was created.
    event OptimismMintableERC20Created(
        address indexed localToken, address indexed remoteToken, address deployer
    );

    /// A token of nothing.
    error RemoteTokenZero();
    /// Such a token is there.
    error TokenExists(address localToken);

    string public constant version = "1.0.0";
    /// Who mints and burns.
    address public constant bridge = 0x4200000000000000000000000000000000000010;

    uint8 private constant DECIMALS = 18;

    /// The parent chain's token of each that was created here.
    mapping(address => address) public deployments;

    /// OP's older name for a token with 18 decimals.
    function createStandardL2Token(address remoteToken, string memory name, string memory symbol)
        external
        returns (address)
    {
        return _create(remoteToken, name, symbol, DECIMALS);
    }

    /// A token with 18 decimals.
    function createOptimismMintableERC20(address remoteToken, string memory name, string memory symbol)
        external
        returns (address)
    {
        return _create(remoteToken, name, symbol, DECIMALS);
    }

    /// A token with the decimals of the parent chain's.
    function createOptimismMintableERC20WithDecimals(
        address remoteToken,
        string memory name,
        string memory symbol,
        uint8 decimals
    ) external returns (address) {
        return _create(remoteToken, name, symbol, decimals);
    }

    /// Where such a token lies, or will.
    function tokenAddress(address remoteToken, string memory name, string memory symbol, uint8 decimals)
        public
        view
        returns (address)
    {
        bytes memory arguments = abi.encode(bridge, remoteToken, name, symbol, decimals);
        bytes32 code = keccak256(abi.encodePacked(type(BridgedToken).creationCode, arguments));
        bytes32 hash = keccak256(abi.encodePacked(bytes1(0xff), address(this), bytes32(0), code));
        return address(uint160(uint256(hash)));
    }

    function _create(address remoteToken, string memory name, string memory symbol, uint8 decimals)
        private
        returns (address token)
    {
        if (remoteToken == address(0)) revert RemoteTokenZero();
        token = tokenAddress(remoteToken, name, symbol, decimals);
        if (token.code.length != 0) revert TokenExists(token);
        new BridgedToken{salt: bytes32(0)}(bridge, remoteToken, name, symbol, decimals);
        deployments[token] = remoteToken;
        emit StandardL2TokenCreated(remoteToken, token);
        emit OptimismMintableERC20Created(token, remoteToken, msg.sender);
    }
}
