// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// A view call on another chain whose result would travel with the message.
struct ReadOperation {
    uint32 domain;
    address target;
    bytes callData;
}

/// How sure of the source the destination has to be before it delivers.
enum FinalityState {
    INSTANT,
    FINALIZED,
    ESPRESSO
}

/// Sending with the ABI of Caldera's MetalayerRouter. Every finality is taken and delivered as
/// FINALIZED; reads are not supported. Other than there, `dispatch` returns the id.
interface IMetalayerRouter {
    /// Sends `writeCallData` as the body of a message.
    function dispatch(
        uint32 destinationDomain,
        address recipientAddress,
        ReadOperation[] calldata reads,
        bytes calldata writeCallData,
        FinalityState finalityState,
        uint256 gasLimit
    ) external payable returns (bytes32 messageId);

    /// The same, to a recipient in 32 bytes.
    function dispatch(
        uint32 destinationDomain,
        bytes32 recipientAddress,
        ReadOperation[] calldata reads,
        bytes calldata writeCallData,
        FinalityState finalityState,
        uint256 gasLimit
    ) external payable returns (bytes32 messageId);

    /// Wei that a message with default gas costs now.
    function quoteDispatch(uint32 destinationDomain, bytes32 recipientAddress, bytes calldata messageBody)
        external
        view
        returns (uint256 fee);

    /// Wei that `dispatch` costs now.
    function quoteDispatch(
        uint32 destinationDomain,
        address recipientAddress,
        ReadOperation[] calldata reads,
        bytes calldata writeCallData,
        FinalityState finalityState,
        uint256 gasLimit
    ) external view returns (uint256 fee);

    /// Wei that `dispatch` costs now.
    function quoteDispatch(
        uint32 destinationDomain,
        bytes32 recipientAddress,
        ReadOperation[] calldata reads,
        bytes calldata writeCallData,
        FinalityState finalityState,
        uint256 gasLimit
    ) external view returns (uint256 fee);

    /// Router of a member: the same address everywhere; zero if the domain is no member.
    function routerAddresses(uint32 domain) external view returns (address);

    /// Who quotes gas: this contract.
    function igp() external view returns (address);
}
