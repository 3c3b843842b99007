// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// Something to pay: an amount of a token, zero being the gas coin.
struct Quote {
    address token;
    uint256 amount;
}

/// What the Mailbox of this protocol does beyond Hyperlane's: terms, transfers, delivery.
interface ICauseway {
    /// The terms of a message's delivery: directly after `DispatchId`. `gasPrice` is in wei of
    /// this chain's coin, `expiryMs` in the destination's time.
    event DispatchTerms(
        bytes32 indexed messageId, uint64 gasLimit, uint64 gasPrice, uint64 expiryMs, address refundTo
    );
    /// Coins left for another chain.
    event SentTransferRemote(uint32 indexed destination, bytes32 indexed recipient, uint256 amount);
    /// Coins arrived from another chain.
    event ReceivedTransferRemote(uint32 indexed origin, bytes32 indexed recipient, uint256 amount);

    /// The message would not leave this chain.
    error OwnDomain(uint32 domain);
    /// One cannot send there now: 0 no member, 2 stalled, 3 paused.
    error LaneClosed(uint32 domain, uint8 status);
    /// This block sends no more to that chain; the next one does.
    error LaneFull(uint32 domain, uint256 bytesLeft, uint256 bytesAsked);
    /// The body is longer than a message carries.
    error BodyTooLong(uint256 length, uint256 most);
    /// `msg.value` is short of `required` by `missing` wei.
    error ValueTooLow(uint256 required, uint256 missing);
    /// What is left of `msg.value` cannot be sent back to the caller.
    error ExcessRefused(uint256 excess);
    /// More gas than a message can name.
    error GasLimitTooHigh(uint256 gasLimit);
    /// A lifetime that ends after the end of time.
    error TtlTooLong(uint64 ttlSeconds);
    /// Hook metadata of another variant than 1, or with a value.
    error UnknownMetadata();
    /// There is no hook but this contract.
    error UnknownHook(address hook);
    /// Messages carry no results of reads.
    error ReadsNotSupported();
    /// The protocol's own address sends and is refunded nothing.
    error ReservedAddress();
    /// A transfer of nothing.
    error AmountZero();
    /// Coins go to addresses: 20 bytes, not zero, not the Mailbox.
    error RecipientInvalid(bytes32 recipient);
    /// The asset has not arrived here yet, or is this chain's gas coin.
    error NoToken(bytes32 asset);
    /// Blocks deliver.
    error BlocksDeliver();
    /// Only the protocol's courier may do this.
    error OnlyCourier();
    /// Not a packed message for this chain.
    error MessageInvalid();
    /// It was delivered before.
    error AlreadyDelivered(bytes32 messageId);
    /// The courier brought too little gas to give the recipient all of its own.
    error OutOfGas();

    /// Sends a message with all terms chosen. `ttlSeconds` 0 is the chain's default, `refundTo`
    /// zero the caller.
    function dispatchWith(
        uint32 destinationDomain,
        bytes32 recipientAddress,
        bytes calldata messageBody,
        uint64 gasLimit,
        uint64 ttlSeconds,
        address refundTo
    ) external payable returns (bytes32 messageId);

    /// Wei that `dispatchWith` costs now.
    function quoteDispatchWith(uint32 destinationDomain, uint256 bodyBytes, uint64 gasLimit)
        external
        view
        returns (uint256 fee);

    /// Moves the hub's coin to another chain. `msg.value` pays the fee, and the amount where the
    /// hub's coin is the gas coin; elsewhere the caller's ERC-20 is burnt, without an allowance.
    function transferRemote(uint32 destination, bytes32 recipient, uint256 amount)
        external
        payable
        returns (bytes32 messageId);

    /// The same with a lifetime, 0 being the chain's default; `refundTo` zero is the caller.
    function transferRemoteWith(
        uint32 destination,
        bytes32 recipient,
        uint256 amount,
        uint64 ttlSeconds,
        address refundTo
    ) external payable returns (bytes32 messageId);

    /// Wei that a transfer costs now beside its amount.
    function quoteTransfer(uint32 destination) external view returns (uint256 fee);

    /// The same as Hyperlane's warp routes say it: the fee, then the amount, each with its token.
    function quoteTransferRemote(uint32 destination, bytes32 recipient, uint256 amount)
        external
        view
        returns (Quote[] memory quotes);

    /// Delivers a packed message; only the courier may call. Whatever the recipient does becomes
    /// a status: 1 delivered, 2 reverted, 3 no recipient, 6 malformed.
    function deliver(bytes calldata message, uint64 gasLimit) external returns (uint8 status, uint64 gasUsed);

    /// Mints back what a transfer burnt here; only the courier may call.
    function refund(bytes32 messageId, bytes32 asset, address to, uint256 amount) external;

    /// ERC-20 of an asset here; zero before its first arrival and if it is the gas coin.
    function tokenOf(bytes32 asset) external view returns (address);
    /// Id of the hub's gas coin.
    function hubAsset() external view returns (bytes32);
    /// This chain's gas coin: 0 its own, 1 the hub's, 2 the hub's and this is the hub.
    function coin() external view returns (uint8);
    /// Whether one may send: 0 no member, 1 yes, 2 stalled, 3 paused.
    function laneStatus(uint32 domain) external view returns (uint8);
    /// Wei of this chain's coin that a unit of another chain's gas costs now.
    function gasPrice(uint32 domain) external view returns (uint64);
}
