// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// Which keys a chain listens to. Its nodes read the events; the first keys are in the chain's
/// spec. No upgrade.
contract SystemConfig {
    /// Keys that take the place of all of that kind: `data` is `abi.encode(address[])`. In the
    /// shape of OP's system config, version 0.
    event ConfigUpdate(uint256 indexed version, uint8 indexed updateType, bytes data);
    /// Keys whose outputs count, in place of all before. No rule of the chain reads it.
    event ProposersSet(address[] keys);
    /// Who becomes the owner by accepting it.
    event OwnershipTransferStarted(address indexed previousOwner, address indexed newOwner);
    /// The owner is another.
    event OwnershipTransferred(address indexed previousOwner, address indexed newOwner);

    /// Only the owner may.
    error OnlyOwner(address caller);
    /// Only who was named may accept.
    error OnlyPendingOwner(address caller);
    /// A config without an owner could never change.
    error OwnerZero();
    /// A chain without keys stands still.
    error KeysEmpty();
    /// More keys than nodes look at.
    error TooManyKeys(uint256 count, uint256 most);
    /// Nobody has the key of this address.
    error KeyZero(uint256 index);
    /// The key stands in the list already.
    error KeyTwice(address key);

    string public constant version = "1.1.0";
    /// Most keys of a kind.
    uint256 public constant maxKeys = 16;

    uint8 private constant POSTERS = 0;
    uint8 private constant SEQUENCERS = 3;

    address public owner;
    /// Who may accept the ownership; zero if nobody.
    address public pendingOwner;

    address[] private _posters;
    address[] private _sequencers;
    address[] private _proposers;

    modifier onlyOwner() {
        if (msg.sender != owner) revert OnlyOwner(msg.sender);
        _;
    }

    /// Stores the keys of the chain's spec; no update says so. Without proposers the posters propose.
    constructor(
        address owner_,
        address[] memory posters_,
        address[] memory sequencers_,
        address[] memory proposers_
    ) {
        if (owner_ == address(0)) revert OwnerZero();
        _check(posters_);
        _check(sequencers_);
        if (proposers_.length != 0) _check(proposers_);
        owner = owner_;
        _posters = posters_;
        _sequencers = sequencers_;
        _proposers = proposers_;
        emit OwnershipTransferred(address(0), owner_);
    }

    /// Whose blobs count.
    function setPosters(address[] memory keys) external onlyOwner {
        _check(keys);
        _posters = keys;
        emit ConfigUpdate(0, POSTERS, abi.encode(keys));
    }

    /// Whose seals count.
    function setSequencers(address[] memory keys) external onlyOwner {
        _check(keys);
        _sequencers = keys;
        emit ConfigUpdate(0, SEQUENCERS, abi.encode(keys));
    }

    /// Whose outputs count at the output oracle; none lets the posters propose. An account that
    /// posts should do nothing else.
    function setProposers(address[] memory keys) external onlyOwner {
        if (keys.length != 0) _check(keys);
        _proposers = keys;
        emit ProposersSet(keys);
    }

    /// Names who may become the owner, in place of who was named before; zero names nobody.
    function transferOwnership(address newOwner) external onlyOwner {
        pendingOwner = newOwner;
        emit OwnershipTransferStarted(owner, newOwner);
    }

    /// Makes the caller the owner, who was named: so nobody without a key can become it.
    function acceptOwnership() external {
        if (msg.sender != pendingOwner) revert OnlyPendingOwner(msg.sender);
        emit OwnershipTransferred(owner, msg.sender);
        owner = msg.sender;
        pendingOwner = address(0);
    }

    function posters() external view returns (address[] memory) {
        return _posters;
    }

    function sequencers() external view returns (address[] memory) {
        return _sequencers;
    }

    /// The keys named for it, or else the posters.
    function proposers() external view returns (address[] memory) {
        return _proposers.length == 0 ? _posters : _proposers;
    }

    function _check(address[] memory keys) private pure {
        if (keys.length == 0) revert KeysEmpty();
        if (keys.length > maxKeys) revert TooManyKeys(keys.length, maxKeys);
        for (uint256 index; index < keys.length; index++) {
            if (keys[index] == address(0)) revert KeyZero(index);
            for (uint256 before; before < index; before++) {
                if (keys[before] == keys[index]) revert KeyTwice(keys[index]);
            }
        }
    }
}
