// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Slots} from "./Slots.sol";
import {Quote} from "./interfaces/ICauseway.sol";
import {IMailbox} from "./interfaces/IMailbox.sol";
import {FinalityState, IMetalayerRouter, ReadOperation} from "./interfaces/IMetalayerRouter.sol";

/// Messages and coins that leave: every way of sending ends in `_send`, every quote in `_quote`.
abstract contract Outbox is Slots, IMailbox, IMetalayerRouter {
    /// What a message's terms take in a block beside the message.
    uint256 private constant TERMS_BYTES = 40;
    uint256 private constant MAX_BODY_BYTES = 16 * 1024;
    /// Most bytes that one block sends to one chain.
    uint256 private constant LANE_BYTES = 64 * 1024;

    uint64 private constant DEFAULT_GAS = 200_000;
    uint64 private constant TRANSFER_GAS = 150_000;
    uint256 private constant DELIVERY_GAS = 60_000;
    uint256 private constant BYTE_GAS = 40;

    /// What a sender asks for.
    struct Order {
        uint32 destination;
        address sender;
        bytes32 recipient;
        bytes body;
        uint64 gasLimit;
        uint64 ttl;
        address refundTo;
        /// Wei that `msg.value` has to cover beside the fee.
        uint256 amount;
    }

    // ---- sending ----

    function dispatch(uint32 destinationDomain, bytes32 recipientAddress, bytes calldata messageBody)
        external
        payable
        returns (bytes32)
    {
        return _message(destinationDomain, recipientAddress, messageBody, DEFAULT_GAS, 0, msg.sender);
    }

    function dispatch(
        uint32 destinationDomain,
        bytes32 recipientAddress,
        bytes calldata messageBody,
        bytes calldata hookMetadata
    ) external payable returns (bytes32) {
        return _hooked(destinationDomain, recipientAddress, messageBody, hookMetadata);
    }

    function dispatch(
        uint32 destinationDomain,
        bytes32 recipientAddress,
        bytes calldata messageBody,
        bytes calldata hookMetadata,
        address hook
    ) external payable returns (bytes32) {
        _checkHook(hook);
        return _hooked(destinationDomain, recipientAddress, messageBody, hookMetadata);
    }

    function dispatch(
        uint32 destinationDomain,
        address recipientAddress,
        ReadOperation[] calldata reads,
        bytes calldata writeCallData,
        FinalityState,
        uint256 gasLimit
    ) external payable returns (bytes32) {
        _checkReads(reads);
        return _message(
            destinationDomain, _word(recipientAddress), writeCallData, _gas(gasLimit), 0, msg.sender
        );
    }

    function dispatch(
        uint32 destinationDomain,
        bytes32 recipientAddress,
        ReadOperation[] calldata reads,
        bytes calldata writeCallData,
        FinalityState,
        uint256 gasLimit
    ) external payable returns (bytes32) {
        _checkReads(reads);
        return _message(
            destinationDomain, recipientAddress, writeCallData, _gas(gasLimit), 0, msg.sender
        );
    }

    function dispatchWith(
        uint32 destinationDomain,
        bytes32 recipientAddress,
        bytes calldata messageBody,
        uint64 gasLimit,
        uint64 ttlSeconds,
        address refundTo
    ) external payable returns (bytes32) {
        return _message(
            destinationDomain, recipientAddress, messageBody, gasLimit, ttlSeconds, refundTo
        );
    }

    function transferRemote(uint32 destination, bytes32 recipient, uint256 amount)
        external
        payable
        returns (bytes32)
    {
        return _transfer(destination, recipient, amount, 0, msg.sender);
    }

    function transferRemoteWith(
        uint32 destination,
        bytes32 recipient,
        uint256 amount,
        uint64 ttlSeconds,
        address refundTo
    ) external payable returns (bytes32) {
        return _transfer(destination, recipient, amount, ttlSeconds, refundTo);
    }

    // ---- quotes ----

    function quoteDispatch(uint32 destinationDomain, bytes32, bytes calldata messageBody)
        external
        view
        override(IMailbox, IMetalayerRouter)
        returns (uint256)
    {
        return _quote(destinationDomain, messageBody.length, DEFAULT_GAS);
    }

    function quoteDispatch(
        uint32 destinationDomain,
        bytes32,
        bytes calldata messageBody,
        bytes calldata hookMetadata
    ) external view returns (uint256) {
        (uint64 gasLimit,) = _metadata(hookMetadata);
        return _quote(destinationDomain, messageBody.length, gasLimit);
    }

    function quoteDispatch(
        uint32 destinationDomain,
        bytes32,
        bytes calldata messageBody,
        bytes calldata hookMetadata,
        address hook
    ) external view returns (uint256) {
        _checkHook(hook);
        (uint64 gasLimit,) = _metadata(hookMetadata);
        return _quote(destinationDomain, messageBody.length, gasLimit);
    }

    function quoteDispatch(
        uint32 destinationDomain,
        address,
        ReadOperation[] calldata reads,
        bytes calldata writeCallData,
        FinalityState,
        uint256 gasLimit
    ) external view returns (uint256) {
        _checkReads(reads);
        return _quote(destinationDomain, writeCallData.length, _gas(gasLimit));
    }

    function quoteDispatch(
        uint32 destinationDomain,
        bytes32,
        ReadOperation[] calldata reads,
        bytes calldata writeCallData,
        FinalityState,
        uint256 gasLimit
    ) external view returns (uint256) {
        _checkReads(reads);
        return _quote(destinationDomain, writeCallData.length, _gas(gasLimit));
    }

    function quoteDispatchWith(uint32 destinationDomain, uint256 bodyBytes, uint64 gasLimit)
        external
        view
        returns (uint256)
    {
        return _quote(destinationDomain, bodyBytes, gasLimit);
    }

    function quoteTransfer(uint32 destination) public view returns (uint256) {
        return _quote(destination, TRANSFER_BYTES, TRANSFER_GAS);
    }

    function quoteTransferRemote(uint32 destination, bytes32, uint256 amount)
        external
        view
        returns (Quote[] memory quotes)
    {
        quotes = new Quote[](2);
        quotes[0].amount = quoteTransfer(destination);
        quotes[1] = Quote(_coin == COIN_OWN ? _tokens[_hubAsset] : address(0), amount);
    }

    function quoteGasPayment(uint32 destinationDomain, uint256 gasAmount) external view returns (uint256) {
        return _quote(destinationDomain, 0, _gas(gasAmount));
    }

    function laneStatus(uint32 domain) public view returns (uint8) {
        return uint8(_lanes[domain]);
    }

    function gasPrice(uint32 domain) public view returns (uint64) {
        return uint64(_lanes[domain] >> 8);
    }

    // ---- how a message is sent ----

    function _hooked(uint32 destination, bytes32 recipient, bytes calldata body, bytes calldata metadata)
        private
        returns (bytes32)
    {
        (uint64 gasLimit, address refundTo) = _metadata(metadata);
        return _message(destination, recipient, body, gasLimit, 0, refundTo);
    }

    function _message(
        uint32 destination,
        bytes32 recipient,
        bytes calldata body,
        uint64 gasLimit,
        uint64 ttl,
        address refundTo
    ) private returns (bytes32) {
        // A message from the Mailbox is a transfer: nobody but `_transfer` sends in its name.
        if (msg.sender == address(this)) revert ReservedAddress();
        (bytes32 id, uint256 required) =
            _send(Order(destination, msg.sender, recipient, body, gasLimit, ttl, refundTo, 0));
        _sendBack(required);
        return id;
    }

    function _transfer(uint32 destination, bytes32 recipient, uint256 amount, uint64 ttl, address refundTo)
        private
        returns (bytes32 id)
    {
        if (amount == 0) revert AmountZero();
        if (!_payable(recipient)) revert RecipientInvalid(recipient);
        bytes32 asset = _hubAsset;
        bool own = _coin == COIN_OWN;
        if (own) _token(asset).burn(msg.sender, amount);
        uint256 required;
        (id, required) = _send(
            Order(
                destination,
                address(this),
                _word(address(this)),
                abi.encode(recipient, amount, asset, _word(msg.sender)),
                TRANSFER_GAS,
                ttl,
                refundTo,
                own ? 0 : amount
            )
        );
        emit SentTransferRemote(destination, recipient, amount);
        _sendBack(required);
    }

    /// Takes a place in the lane and in the tree, and says so. Returns the wei that all of it
    /// takes of `msg.value`.
    function _send(Order memory order) private returns (bytes32 id, uint256 required) {
        uint32 destination = order.destination;
        address refundTo = order.refundTo == address(0) ? msg.sender : order.refundTo;
        if (refundTo == address(this)) revert ReservedAddress();
        uint64 price = _takePlace(destination, order.body.length);
        uint64 expiry = _expiry(order.ttl);
        uint256 fee = _fee(price, order.body.length, order.gasLimit);
        required = fee + order.amount;
        if (msg.value < required) revert ValueTooLow(required, required - msg.value);

        uint32 index = uint32(_nonce);
        _nonce = index + 1;
        bytes memory message = abi.encodePacked(
            MESSAGE_VERSION,
            index,
            uint32(_localDomain),
            _word(order.sender),
            destination,
            order.recipient,
            order.body
        );
        id = keccak256(message);
        _latestId = id;
        emit Dispatch(order.sender, destination, order.recipient, message);
        emit DispatchId(id);
        emit DispatchTerms(id, order.gasLimit, price, expiry, refundTo);
        emit InsertedIntoTree(id, index);
        emit GasPayment(id, destination, order.gasLimit, fee);
    }

    /// Checks that a message may go into a lane in this block, and counts its bytes.
    function _takePlace(uint32 domain, uint256 bodyBytes) private returns (uint64 price) {
        if (bodyBytes > MAX_BODY_BYTES) revert BodyTooLong(bodyBytes, MAX_BODY_BYTES);
        if (domain == _localDomain) revert OwnDomain(domain);
        uint256 lane = _lanes[domain];
        if (uint8(lane) != LANE_ACTIVE) revert LaneClosed(domain, uint8(lane));
        uint256 used = uint64(lane >> 72) == block.number ? uint32(lane >> 136) : 0;
        uint256 size = HEADER_BYTES + TERMS_BYTES + bodyBytes;
        if (used + size > LANE_BYTES) {
            revert LaneFull(domain, used < LANE_BYTES ? LANE_BYTES - used : 0, size);
        }
        _lanes[domain] = uint72(lane) | (block.number << 72) | ((used + size) << 136);
        price = uint64(lane >> 8);
    }

    function _expiry(uint64 ttl) private view returns (uint64) {
        uint256 end = (block.timestamp + (ttl == 0 ? _defaultTtl : ttl)) * 1000;
        if (end > type(uint64).max) revert TtlTooLong(ttl);
        return uint64(end);
    }

    /// Sends back what is left of `msg.value`; what the caller answers is not read.
    function _sendBack(uint256 required) private {
        uint256 excess = msg.value - required;
        if (excess != 0 && !_call(msg.sender, excess, gasleft(), "")) revert ExcessRefused(excess);
    }

    /// Gas limit and refund address of hook metadata.
    function _metadata(bytes calldata data) private view returns (uint64 gasLimit, address refundTo) {
        (gasLimit, refundTo) = (DEFAULT_GAS, msg.sender);
        if (data.length == 0) return (gasLimit, refundTo);
        if (data.length < 2 || uint16(bytes2(data[:2])) != 1) revert UnknownMetadata();
        if (data.length >= 34 && bytes32(data[2:34]) != 0) revert UnknownMetadata();
        // Metadata that is about another field has a zero here, which no handler could live on.
        if (data.length >= 66 && bytes32(data[34:66]) != 0) gasLimit = _gas(uint256(bytes32(data[34:66])));
        if (data.length >= 86) refundTo = address(bytes20(data[66:86]));
    }

    function _quote(uint32 domain, uint256 bodyBytes, uint64 gasLimit) private view returns (uint256) {
        if (bodyBytes > MAX_BODY_BYTES) revert BodyTooLong(bodyBytes, MAX_BODY_BYTES);
        // A lane that is closed for a while still has its price; no lane has none.
        if (laneStatus(domain) == LANE_UNKNOWN) revert LaneClosed(domain, LANE_UNKNOWN);
        return _fee(gasPrice(domain), bodyBytes, gasLimit);
    }

    function _fee(uint64 price, uint256 bodyBytes, uint64 gasLimit) private pure returns (uint256) {
        return (gasLimit + DELIVERY_GAS + BYTE_GAS * bodyBytes) * price;
    }

    // ---- what senders may ask for ----

    function _checkHook(address hook) private view {
        if (hook != address(0) && hook != address(this)) revert UnknownHook(hook);
    }

    function _checkReads(ReadOperation[] calldata reads) private pure {
        if (reads.length != 0) revert ReadsNotSupported();
    }

    function _gas(uint256 gasLimit) private pure returns (uint64) {
        if (gasLimit > type(uint64).max) revert GasLimitTooHigh(gasLimit);
        return uint64(gasLimit);
    }
}
