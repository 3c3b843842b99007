// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Calls} from "../cross/Calls.sol";
import {Senders} from "../cross/Senders.sol";
import {IOutputOracle, OutputProposal} from "./IOutputOracle.sol";
import {MerklePatricia} from "./MerklePatricia.sol";

/// A call that somebody on the chain sent to the parent chain, as the message passer tells it.
struct WithdrawalTransaction {
    uint256 nonce;
    address sender;
    address target;
    uint256 value;
    uint256 gasLimit;
    bytes data;
}

/// What an output root is made of.
struct OutputRootProof {
    bytes32 version;
    bytes32 stateRoot;
    bytes32 messagePasserStorageRoot;
    bytes32 latestBlockhash;
}

/// The way into a chain from its parent chain, which no sequencer can close: every node of the
/// chain reads these events. And the way out: what the chain's message passer stored, proven by an
/// output of the oracle, is called here. It holds the coins that are on the chain. No owner and no
/// upgrade; the guardian can hold withdrawals up for a time, and has no way to the coins.
contract Portal {
    /// An entry of the forced lane: a transaction that its sender signed for the chain.
    event ForcedTransaction(address indexed from, uint256 indexed index, bytes data);
    /// A message, in the shape of OP's portal, version 0: `opaqueData` is mint (32 bytes), value
    /// (32), gas limit (8), whether it creates a contract (1), and the data, one behind the other.
    event TransactionDeposited(
        address indexed from, address indexed to, uint256 indexed version, bytes opaqueData
    );
    /// A withdrawal is on the chain; its time runs.
    event WithdrawalProven(bytes32 indexed withdrawalHash, address indexed from, address indexed to);
    /// A withdrawal was called, once and for all; `success` tells whether the call was.
    event WithdrawalFinalized(bytes32 indexed withdrawalHash, bool success);
    /// The guardian stops withdrawals until `pausedUntil`.
    event Paused(address account);
    /// The guardian lets them go on before.
    event Unpaused(address account);

    /// Nothing to force.
    error DataEmpty();
    /// More bytes than an entry or a message may have.
    error DataTooLong(uint256 length, uint256 most);
    /// Transactions of this type are made of messages only.
    error TypeReserved(uint8 transactionType);
    /// Less gas than the message uses before it runs.
    error GasLimitTooLow(uint64 gasLimit, uint64 least);
    /// More gas than a message may use.
    error GasLimitTooHigh(uint64 gasLimit, uint64 most);
    /// What creates a contract goes to nobody.
    error CreationTo(address to);
    /// The chain's gas coin is not the parent chain's: none come in, and none go out.
    error CoinsRefused(uint256 value);
    /// Coins without a call go to the sender's address on the chain, which for a contract may be
    /// nobody's: it names who gets them by `depositTransaction`.
    error OnlyAccounts(address caller);

    /// Nothing lies there that could tell outputs.
    error NoOracle(address oracle);
    /// The portal does not call itself.
    error TargetReserved(address target);
    /// There is no such output, or no longer.
    error OutputMissing(uint256 index);
    /// Another way to make an output root.
    error UnknownVersion(bytes32 version);
    /// The output's root is not made of what was given, or not what the withdrawal was proven by.
    error OutputDiffers(uint256 index, bytes32 expected, bytes32 found);
    /// What the message passer stores says nothing of the withdrawal.
    error NotSent(bytes32 withdrawalHash);
    /// Proven by an output that stands: its time runs, and does not begin anew.
    error AlreadyProven(bytes32 withdrawalHash, uint256 index);
    /// Not proven.
    error NotProven(bytes32 withdrawalHash);
    /// The proof, or the output, was not there for long enough.
    error TooEarly(uint256 time, uint256 until);
    /// Called before.
    error AlreadyFinalized(bytes32 withdrawalHash);
    /// A withdrawal is being called.
    error Reentered();
    /// The coins of the withdrawal are not here: they came to be on the chain without the portal.
    error CoinsShort(uint256 held, uint256 needed);
    /// The guardian stopped withdrawals.
    error WithdrawalsPaused(uint256 until);
    /// Only the guardian may.
    error OnlyGuardian(address caller);
    /// Too soon after the pause before.
    error PauseTooSoon(uint256 time, uint256 from);
    /// Nothing to end.
    error NotPaused();

    string public constant version = "2.0.0";
    /// Most bytes of an entry, and of a message's data.
    uint256 public constant maxData = 120_000;
    /// Longest pause, and shortest time from a pause to the next, in seconds.
    uint256 public constant PAUSE_SECONDS = 14 days;

    /// The type of a message's transaction on the chain.
    uint8 private constant MESSAGE_TYPE = 0x7e;
    uint64 private constant BASE_GAS = 21_000;
    /// The floor of EIP-7623 for a byte that is not zero.
    uint64 private constant BYTE_GAS = 40;
    /// Gas of a message that is made of coins alone.
    uint64 private constant COINS_GAS = 100_000;
    /// What `l2Sender` is while no withdrawal is being called; OP's.
    address private constant NOBODY = address(0xdEaD);
    /// What is left to say how a withdrawal's call went.
    uint256 private constant RESERVED_GAS = 20_000;

    /// What a withdrawal was proven by.
    struct Proven {
        bytes32 outputRoot;
        uint128 timestamp;
        uint128 l2OutputIndex;
    }

    /// Most gas of a message.
    uint64 public immutable maxGas;
    /// Tells outputs.
    IOutputOracle public immutable l2Oracle;
    /// Whether coins of the parent chain are the chain's gas coins.
    bool public immutable takesCoins;
    /// Who may pause withdrawals; zero if nobody.
    address public immutable guardian;
    uint256 private immutable _period;

    /// Entries so far: the index of the next one.
    uint256 public forced;
    /// What was called, and so never will be again.
    mapping(bytes32 => bool) public finalizedWithdrawals;
    mapping(bytes32 => Proven) private _proven;
    /// End of the pause, in seconds; in the past if there is none.
    uint64 public pausedUntil;
    /// From when on the guardian may pause, in seconds.
    uint64 public pausableFrom;
    /// Whose withdrawal is being called; zero if none.
    address private transient _sender;

    /// The guardian and the finalization period are the oracle's.
    constructor(uint64 maxGas_, IOutputOracle oracle, bool takesCoins_) {
        if (maxGas_ < BASE_GAS) revert GasLimitTooLow(maxGas_, BASE_GAS);
        if (address(oracle).code.length == 0) revert NoOracle(address(oracle));
        maxGas = maxGas_;
        l2Oracle = oracle;
        takesCoins = takesCoins_;
        guardian = oracle.challenger();
        _period = oracle.FINALIZATION_PERIOD_SECONDS();
    }

    // ---- in ----

    /// Puts a signed transaction of the chain into the forced lane. Whoever calls, the transaction
    /// is of its signer; one that is not valid when its turn comes is skipped.
    function forceTransaction(bytes calldata data) external {
        if (data.length == 0) revert DataEmpty();
        if (data.length > maxData) revert DataTooLong(data.length, maxData);
        if (uint8(data[0]) == MESSAGE_TYPE) revert TypeReserved(MESSAGE_TYPE);
        emit ForcedTransaction(msg.sender, forced++, data);
    }

    /// Sends a message: a call on the chain by the caller, or by a contract's alias. The coins that
    /// come with it stay here, and the caller, or its alias, has as many more there (mint), also if
    /// the call fails. `value` of what it then has goes along with the call.
    function depositTransaction(
        address to,
        uint256 value,
        uint64 gasLimit,
        bool isCreation,
        bytes calldata data
    ) external payable {
        _deposit(to, value, gasLimit, isCreation, data);
    }

    /// Coins for the sender's own account on the chain.
    receive() external payable {
        if (!Senders.callerHasKey()) revert OnlyAccounts(msg.sender);
        _deposit(msg.sender, msg.value, COINS_GAS < maxGas ? COINS_GAS : maxGas, false, "");
    }

    /// Coins for nobody: they stand for those that the chain has from its genesis.
    function donateETH() external payable {
        _checkCoins(msg.value);
    }

    /// Least gas of a message with so many bytes of data.
    function minimumGasLimit(uint64 byteCount) public pure returns (uint64) {
        return BASE_GAS + BYTE_GAS * byteCount;
    }

    // ---- out ----

    /// Proves that the message passer has a withdrawal, by an output and the proof of its storage
    /// slot. Anybody may, for anybody, and during a pause too. It is proven once, unless the output
    /// that it was proven by is deleted or replaced: otherwise whoever proves it
    /// again would put off its end.
    function proveWithdrawalTransaction(
        WithdrawalTransaction calldata withdrawal,
        uint256 l2OutputIndex,
        OutputRootProof calldata outputRootProof,
        bytes[] calldata withdrawalProof
    ) external {
        if (withdrawal.target == address(this)) revert TargetReserved(withdrawal.target);
        _checkCoins(withdrawal.value);
        bytes32 hash = _hash(withdrawal);
        if (finalizedWithdrawals[hash]) revert AlreadyFinalized(hash);
        Proven memory before = _standing(hash);
        if (before.timestamp != 0) revert AlreadyProven(hash, before.l2OutputIndex);
        bytes32 root = _output(l2OutputIndex).outputRoot;
        // Nomad: what is not there is no root.
        if (root == 0) revert OutputMissing(l2OutputIndex);
        // BNB: every field is read, and part of what the output says.
        if (outputRootProof.version != 0) revert UnknownVersion(outputRootProof.version);
        bytes32 found = keccak256(abi.encode(outputRootProof));
        if (found != root) revert OutputDiffers(l2OutputIndex, root, found);
        // Verus: the slot's place is the hash of all that will be called, and its value is 1.
        bytes32 slot = keccak256(abi.encode(hash, uint256(0)));
        bytes calldata value = MerklePatricia.get(
            outputRootProof.messagePasserStorageRoot, keccak256(abi.encode(slot)), withdrawalProof
        );
        if (value.length != 1 || value[0] != 0x01) revert NotSent(hash);
        _proven[hash] = Proven(root, uint128(block.timestamp), uint128(l2OutputIndex));
        emit WithdrawalProven(hash, withdrawal.sender, withdrawal.target);
    }

    /// Calls what a withdrawal asks for, after the finalization period. That happens once: a call
    /// that fails is not made again, and its coins stay here for ever, as OP has it; the messengers
    /// keep messages that failed. It gets at least the gas that was asked for, and what there is
    /// above it, of the transaction of whoever finalizes.
    function finalizeWithdrawalTransaction(WithdrawalTransaction calldata withdrawal) external {
        if (paused()) revert WithdrawalsPaused(pausedUntil);
        if (_sender != address(0)) revert Reentered();
        bytes32 hash = _hash(withdrawal);
        if (finalizedWithdrawals[hash]) revert AlreadyFinalized(hash);
        Proven memory proven = _proven[hash];
        if (proven.timestamp == 0) revert NotProven(hash);
        // An output that was deleted and said again is another, whose time begins anew.
        OutputProposal memory output = _output(proven.l2OutputIndex);
        if (output.outputRoot != proven.outputRoot) {
            revert OutputDiffers(proven.l2OutputIndex, proven.outputRoot, output.outputRoot);
        }
        _checkTime(proven.timestamp);
        _checkTime(output.timestamp);
        if (address(this).balance < withdrawal.value) {
            revert CoinsShort(address(this).balance, withdrawal.value);
        }
        // Before the call, so that nothing it does can have it a second time (at Messina
        // one approval was claimed up to 143 times).
        finalizedWithdrawals[hash] = true;
        _sender = withdrawal.sender;
        bool success = Calls.withGas(
            withdrawal.target, withdrawal.gasLimit, RESERVED_GAS, withdrawal.value, withdrawal.data
        );
        _sender = address(0);
        emit WithdrawalFinalized(hash, success);
    }

    /// What a withdrawal was proven by: root, time and index of the output; zeros if it was not, or
    /// if the output is no longer there.
    function provenWithdrawals(bytes32 withdrawalHash)
        external
        view
        returns (bytes32 outputRoot, uint128 timestamp, uint128 l2OutputIndex)
    {
        Proven memory proven = _standing(withdrawalHash);
        return (proven.outputRoot, proven.timestamp, proven.l2OutputIndex);
    }

    /// Whose withdrawal is being called: who is called by the portal asks it. 0xdEaD if none.
    function l2Sender() external view returns (address) {
        return _sender == address(0) ? NOBODY : _sender;
    }

    /// Whether an output is there for longer than the finalization period.
    function isOutputFinalized(uint256 l2OutputIndex) external view returns (bool) {
        OutputProposal memory output = _output(l2OutputIndex);
        return output.outputRoot != 0 && block.timestamp > output.timestamp + _period;
    }

    /// OP's older name.
    function L2_ORACLE() external view returns (IOutputOracle) {
        return l2Oracle;
    }

    /// Which keys the chain listens to.
    function systemConfig() external view returns (address) {
        return l2Oracle.systemConfig();
    }

    // ---- the guardian ----

    /// Stops withdrawals for `PAUSE_SECONDS`, never what comes in. The next pause is not before
    /// as long a time after the end of this one, so nobody's coins can be held for ever.
    function pause() external {
        _checkGuardian();
        if (block.timestamp < pausableFrom) revert PauseTooSoon(block.timestamp, pausableFrom);
        pausedUntil = uint64(block.timestamp + PAUSE_SECONDS);
        pausableFrom = uint64(block.timestamp + 2 * PAUSE_SECONDS);
        emit Paused(msg.sender);
    }

    /// Ends a pause before its time.
    function unpause() external {
        _checkGuardian();
        if (!paused()) revert NotPaused();
        pausedUntil = uint64(block.timestamp);
        pausableFrom = uint64(block.timestamp + PAUSE_SECONDS);
        emit Unpaused(msg.sender);
    }

    /// Whether withdrawals are stopped.
    function paused() public view returns (bool) {
        return block.timestamp < pausedUntil;
    }

    // ---- what these are made of ----

    function _deposit(address to, uint256 value, uint64 gasLimit, bool isCreation, bytes memory data)
        private
    {
        _checkCoins(msg.value);
        if (isCreation && to != address(0)) revert CreationTo(to);
        if (data.length > maxData) revert DataTooLong(data.length, maxData);
        uint64 least = minimumGasLimit(uint64(data.length));
        if (gasLimit < least) revert GasLimitTooLow(gasLimit, least);
        if (gasLimit > maxGas) revert GasLimitTooHigh(gasLimit, maxGas);
        address from = Senders.callerHasKey() ? msg.sender : Senders.aliasOf(msg.sender);
        bytes memory opaqueData = abi.encodePacked(msg.value, value, gasLimit, isCreation, data);
        emit TransactionDeposited(from, to, 0, opaqueData);
    }

    /// How a withdrawal was proven, as long as the output stands that it was proven by.
    function _standing(bytes32 hash) private view returns (Proven memory proven) {
        proven = _proven[hash];
        if (proven.timestamp == 0) return proven;
        if (_output(proven.l2OutputIndex).outputRoot != proven.outputRoot) return Proven(0, 0, 0);
    }

    /// An output; zeros if there is none.
    function _output(uint256 index) private view returns (OutputProposal memory) {
        if (index >= l2Oracle.nextOutputIndex()) return OutputProposal(0, 0, 0);
        return l2Oracle.getL2Output(index);
    }

    function _checkTime(uint256 since) private view {
        if (block.timestamp <= since + _period) revert TooEarly(block.timestamp, since + _period);
    }

    function _checkCoins(uint256 value) private view {
        if (value != 0 && !takesCoins) revert CoinsRefused(value);
    }

    function _checkGuardian() private view {
        if (msg.sender != guardian) revert OnlyGuardian(msg.sender);
    }

    /// What the message passer names a withdrawal.
    function _hash(WithdrawalTransaction calldata withdrawal) private pure returns (bytes32) {
        return keccak256(
            abi.encode(
                withdrawal.nonce,
                withdrawal.sender,
                withdrawal.target,
                withdrawal.value,
                withdrawal.gasLimit,
                withdrawal.data
            )
        );
    }
}
