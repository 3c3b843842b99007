// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ICauseway, Quote} from "./interfaces/ICauseway.sol";
import {IMailbox} from "./interfaces/IMailbox.sol";
import {FinalityState, IMetalayerRouter, ReadOperation} from "./interfaces/IMetalayerRouter.sol";
import {IMessageRecipient} from "./interfaces/IMessageRecipient.sol";
import {MetaToken} from "./MetaToken.sol";

/// Outbox, inbox and escrow of a member chain, part of its genesis. Users send here; the protocol
/// writes lanes and the tree natively, and delivers by calls of the courier. No owner, no upgrade.
contract Mailbox is IMailbox, IMetalayerRouter, ICauseway {
    // The protocol shares these slots (`chainspec::mailbox::layout`): one value in each, and
    // nothing may be added. What else the protocol keeps here lies in hashed slots.
    uint256 private _localDomain;
    uint256 private _nonce;
    uint256 private _defaultTtl;
    uint256 private _coin;
    bytes32 private _hubAsset;
    bytes32 private _latestId;
    /// Status (8 bits), gas price (64), block of the last send (64), bytes sent in it (32).
    mapping(uint32 => uint256) private _lanes;
    /// Status in the low byte, block number above.
    mapping(bytes32 => uint256) private _received;
    mapping(bytes32 => address) private _tokens;
    uint256 private _treeCount;
    bytes32[32] private _branch;

    /// Calls on behalf of the protocol. Nobody has its key.
    address private constant COURIER = 0xCA00000000000000000000000000000000000003;

    uint8 private constant MESSAGE_VERSION = 3;
    uint256 private constant HEADER_BYTES = 77;
    /// What a message's terms take in a block beside the message.
    uint256 private constant TERMS_BYTES = 40;
    uint256 private constant MAX_BODY_BYTES = 16 * 1024;
    uint256 private constant LANE_BYTES = 64 * 1024;
    uint256 private constant TRANSFER_BYTES = 128;

    uint64 private constant DEFAULT_GAS = 200_000;
    uint64 private constant TRANSFER_GAS = 150_000;
    uint256 private constant DEPLOY_GAS = 2_000_000;
    uint256 private constant DELIVERY_GAS = 60_000;
    uint256 private constant BYTE_GAS = 16;
    /// What `deliver` needs itself around and after the recipient's call.
    uint256 private constant RESERVE_GAS = 10_000;
    /// What a call with value to a cold account that does not exist costs its caller.
    uint256 private constant CALL_GAS = 36_600;

    uint8 private constant LANE_UNKNOWN = 0;
    uint8 private constant LANE_ACTIVE = 1;

    uint8 private constant COIN_OWN = 0;

    uint8 private constant DELIVERED = 1;
    uint8 private constant REVERTED = 2;
    uint8 private constant NO_RECIPIENT = 3;
    uint8 private constant MALFORMED = 6;

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

    modifier onlyCourier() {
        if (msg.sender != COURIER) revert OnlyCourier();
        _;
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

    // ---- delivery ----

    function deliver(bytes calldata message, uint64 gasLimit)
        external
        onlyCourier
        returns (uint8 status, uint64 gasUsed)
    {
        if (
            message.length < HEADER_BYTES || uint8(message[0]) != MESSAGE_VERSION
                || uint32(bytes4(message[41:45])) != _localDomain
        ) revert MessageInvalid();
        bytes32 id = keccak256(message);
        uint256 before = _received[id];
        if (uint8(before) == DELIVERED) revert AlreadyDelivered(id);
        // Before the recipient runs, so that it finds its message delivered, and never twice.
        _received[id] = DELIVERED | (block.number << 8);

        uint32 origin = uint32(bytes4(message[5:9]));
        bytes32 sender = bytes32(message[9:41]);
        bytes32 recipient = bytes32(message[45:77]);
        bytes calldata body = message[77:];
        bool transfer = sender == _word(address(this)) && recipient == sender;
        uint256 used;
        (status, used) = transfer ? _pay(body, gasLimit) : _handle(origin, sender, recipient, body, gasLimit);
        gasUsed = used < gasLimit ? uint64(used) : gasLimit;
        if (status != DELIVERED) {
            _received[id] = before;
            return (status, gasUsed);
        }
        emit Process(origin, sender, address(uint160(uint256(recipient))));
        emit ProcessId(id);
        if (transfer) {
            emit ReceivedTransferRemote(origin, bytes32(body[:32]), uint256(bytes32(body[32:64])));
        }
    }

    function refund(bytes32, bytes32 asset, address to, uint256 amount) external onlyCourier {
        _token(asset).mint(to, amount);
    }

    function process(bytes calldata, bytes calldata) external payable {
        revert BlocksDeliver();
    }

    // ---- views ----

    function localDomain() external view returns (uint32) {
        return uint32(_localDomain);
    }

    function nonce() external view returns (uint32) {
        return uint32(_nonce);
    }

    function latestDispatchedId() external view returns (bytes32) {
        return _latestId;
    }

    function delivered(bytes32 messageId) public view returns (bool) {
        return uint8(_received[messageId]) == DELIVERED;
    }

    function processedAt(bytes32 messageId) external view returns (uint48) {
        return delivered(messageId) ? uint48(_received[messageId] >> 8) : 0;
    }

    function processor(bytes32 messageId) external view returns (address) {
        return delivered(messageId) ? COURIER : address(0);
    }

    function defaultIsm() external view returns (address) {
        return address(this);
    }

    function recipientIsm(address) external view returns (address) {
        return address(this);
    }

    function defaultHook() external view returns (address) {
        return address(this);
    }

    function requiredHook() external view returns (address) {
        return address(this);
    }

    function VERSION() external pure returns (uint8) {
        return MESSAGE_VERSION;
    }

    function deployedBlock() external pure returns (uint256) {
        return 0;
    }

    function count() external view returns (uint32) {
        return uint32(_treeCount);
    }

    function root() public view returns (bytes32 node) {
        bytes32 empty;
        uint256 leaves = _treeCount;
        for (uint256 level; level < 32; level++) {
            node = (leaves >> level) & 1 == 1 ? _hash(_branch[level], node) : _hash(node, empty);
            empty = _hash(empty, empty);
        }
    }

    function tree() external view returns (Tree memory) {
        return Tree(_branch, _treeCount);
    }

    function latestCheckpoint() external view returns (bytes32, uint32) {
        return (root(), uint32(_treeCount - 1));
    }

    function routerAddresses(uint32 domain) external view returns (address) {
        bool member = domain == _localDomain || laneStatus(domain) != LANE_UNKNOWN;
        return member ? address(this) : address(0);
    }

    function igp() external view returns (address) {
        return address(this);
    }

    function tokenOf(bytes32 asset) external view returns (address) {
        return _tokens[asset];
    }

    function hubAsset() external view returns (bytes32) {
        return _hubAsset;
    }

    function coin() external view returns (uint8) {
        return uint8(_coin);
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

    // ---- how a message is delivered ----

    /// Gives a message to its recipient with exactly `gasLimit` gas.
    function _handle(uint32 origin, bytes32 sender, bytes32 recipient, bytes calldata body, uint64 gasLimit)
        private
        returns (uint8 status, uint256 used)
    {
        if (uint256(recipient) >> 160 != 0) return (NO_RECIPIENT, 0);
        address to = address(uint160(uint256(recipient)));
        if (to == address(this)) return (MALFORMED, 0);
        if (to.code.length == 0) return (NO_RECIPIENT, 0);
        bytes memory input = abi.encodeCall(IMessageRecipient.handle, (origin, sender, body));
        _checkGas(gasLimit);
        uint256 start = gasleft();
        status = _call(to, 0, gasLimit, input) ? DELIVERED : REVERTED;
        used = start - gasleft();
    }

    /// Pays what a transfer brings; all that this costs is within `gasLimit`, deploying the
    /// token aside.
    function _pay(bytes calldata body, uint64 gasLimit) private returns (uint8 status, uint256 used) {
        if (body.length != TRANSFER_BYTES) return (MALFORMED, 0);
        (bytes32 recipient, uint256 amount, bytes32 asset) = abi.decode(body, (bytes32, uint256, bytes32));
        if (amount == 0 || asset != _hubAsset || !_payable(recipient)) return (MALFORMED, 0);
        address to = address(uint160(uint256(recipient)));
        uint256 start;
        if (_coin != COIN_OWN) {
            _checkGas(gasLimit);
            start = gasleft();
            uint256 gasForRecipient = gasLimit < CALL_GAS ? 0 : gasLimit - CALL_GAS;
            status = _call(to, amount, gasForRecipient, "") ? DELIVERED : REVERTED;
            return (status, start - gasleft());
        }
        address token = _tokens[asset];
        if (token == address(0)) {
            _checkGas(gasLimit + DEPLOY_GAS);
            // The address is a function of the asset alone.
            token = address(new MetaToken{salt: asset}());
            _tokens[asset] = token;
        }
        _checkGas(gasLimit);
        start = gasleft();
        try MetaToken(token).mint(to, amount) {
            status = DELIVERED;
        } catch {
            status = REVERTED;
        }
        used = start - gasleft();
    }

    /// Reverts the whole delivery unless a call can get all of `gasLimit`: a call gets at most
    /// 63/64 of what is left (EIP-150).
    function _checkGas(uint256 gasLimit) private view {
        if (gasleft() < gasLimit + gasLimit / 63 + RESERVE_GAS) revert OutOfGas();
    }

    /// Calls without copying what comes back, which may be long.
    function _call(address to, uint256 value, uint256 gasLimit, bytes memory input)
        private
        returns (bool success)
    {
        assembly ("memory-safe") {
            success := call(gasLimit, to, value, add(input, 32), mload(input), 0, 0)
        }
    }

    function _token(bytes32 asset) private view returns (MetaToken) {
        address token = _tokens[asset];
        if (token == address(0)) revert NoToken(asset);
        return MetaToken(token);
    }

    // ---- small things ----

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

    /// Whether coins can go there.
    function _payable(bytes32 recipient) private view returns (bool) {
        uint256 to = uint256(recipient);
        return to != 0 && to >> 160 == 0 && to != uint160(address(this));
    }

    function _word(address account) private pure returns (bytes32) {
        return bytes32(uint256(uint160(account)));
    }

    function _hash(bytes32 left, bytes32 right) private pure returns (bytes32) {
        return keccak256(abi.encodePacked(left, right));
    }
}
