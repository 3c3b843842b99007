// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// What the bridge asks of a token that it mints and burns (OP's IOptimismMintableERC20).
interface IBridgedToken {
    /// The token of the parent chain.
    function remoteToken() external view returns (address);
    /// Who mints and burns.
    function bridge() external view returns (address);
    /// Makes tokens that arrived.
    function mint(address to, uint256 value) external;
    /// Unmakes tokens that leave.
    function burn(address from, uint256 value) external;
}

/// OP's older names for the same (ILegacyMintableERC20).
interface ILegacyBridgedToken {
    function l1Token() external view returns (address);
    function mint(address to, uint256 value) external;
    function burn(address from, uint256 value) external;
}

/// A token of the parent chain, on the chain: an ERC-20 with EIP-2612 permits. The bridge mints and
/// burns; nobody owns it and nothing can be changed. Name, symbol and decimals are those that whoever
/// created it gave: its address is made of them.
contract BridgedToken is IBridgedToken {
    /// ERC-20.
    event Transfer(address indexed from, address indexed to, uint256 value);
    /// ERC-20.
    event Approval(address indexed owner, address indexed spender, uint256 value);
    /// As OP's tokens tell it.
    event Mint(address indexed account, uint256 amount);
    /// As OP's tokens tell it.
    event Burn(address indexed account, uint256 amount);

    /// ERC-6093.
    error ERC20InsufficientBalance(address sender, uint256 balance, uint256 needed);
    /// ERC-6093.
    error ERC20InsufficientAllowance(address spender, uint256 allowance, uint256 needed);
    /// ERC-6093.
    error ERC20InvalidReceiver(address receiver);
    /// The permit's time is over.
    error PermitExpired(uint256 deadline);
    /// The permit is not signed by its owner.
    error PermitSigner(address owner);
    /// Only the bridge mints and burns.
    error OnlyBridge(address caller);

    bytes32 private constant DOMAIN =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private constant PERMIT =
        keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
    /// Half of the curve's order: a signature with a higher `s` has a twin (EIP-2).
    uint256 private constant HALF_ORDER = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0;
    bytes4 private constant ERC165 = 0x01ffc9a7;

    address public immutable bridge;
    address public immutable remoteToken;
    uint8 public immutable decimals;
    string public name;
    string public symbol;

    uint256 public totalSupply;
    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;
    /// Next nonce of an owner's permits.
    mapping(address => uint256) public nonces;

    modifier onlyBridge() {
        if (msg.sender != bridge) revert OnlyBridge(msg.sender);
        _;
    }

    /// The factory gives all of it.
    constructor(
        address bridge_,
        address remoteToken_,
        string memory name_,
        string memory symbol_,
        uint8 decimals_
    ) {
        bridge = bridge_;
        remoteToken = remoteToken_;
        name = name_;
        symbol = symbol_;
        decimals = decimals_;
    }

    /// ERC-20.
    function transfer(address to, uint256 value) external returns (bool) {
        _move(msg.sender, to, value);
        return true;
    }

    /// ERC-20.
    function approve(address spender, uint256 value) external returns (bool) {
        _approve(msg.sender, spender, value);
        return true;
    }

    /// ERC-20.
    function transferFrom(address from, address to, uint256 value) external returns (bool) {
        uint256 allowed = allowance[from][msg.sender];
        if (allowed != type(uint256).max) {
            if (allowed < value) revert ERC20InsufficientAllowance(msg.sender, allowed, value);
            unchecked {
                allowance[from][msg.sender] = allowed - value;
            }
        }
        _move(from, to, value);
        return true;
    }

    /// An approval signed by the owner (EIP-2612).
    function permit(
        address owner,
        address spender,
        uint256 value,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external {
        if (block.timestamp > deadline) revert PermitExpired(deadline);
        bytes32 content = keccak256(abi.encode(PERMIT, owner, spender, value, nonces[owner]++, deadline));
        bytes32 digest = keccak256(abi.encodePacked("\x19\x01", DOMAIN_SEPARATOR(), content));
        address signer = uint256(s) > HALF_ORDER ? address(0) : ecrecover(digest, v, r, s);
        if (signer == address(0) || signer != owner) revert PermitSigner(owner);
        _approve(owner, spender, value);
    }

    /// What permits are signed for (EIP-712).
    function DOMAIN_SEPARATOR() public view returns (bytes32) {
        return keccak256(
            abi.encode(DOMAIN, keccak256(bytes(name)), keccak256("1"), block.chainid, address(this))
        );
    }

    /// Makes tokens that arrived.
    function mint(address to, uint256 value) external onlyBridge {
        if (to == address(0)) revert ERC20InvalidReceiver(to);
        totalSupply += value;
        // No balance is above the supply.
        unchecked {
            balanceOf[to] += value;
        }
        emit Transfer(address(0), to, value);
        emit Mint(to, value);
    }

    /// Unmakes tokens that leave.
    function burn(address from, uint256 value) external onlyBridge {
        _take(from, value);
        unchecked {
            totalSupply -= value;
        }
        emit Transfer(from, address(0), value);
        emit Burn(from, value);
    }

    /// ERC-165: what bridges and wallets know such a token by.
    function supportsInterface(bytes4 id) external pure returns (bool) {
        return id == ERC165 || id == type(IBridgedToken).interfaceId
            || id == type(ILegacyBridgedToken).interfaceId;
    }

    /// OP's older name.
    function l1Token() external view returns (address) {
        return remoteToken;
    }

    /// OP's older name.
    function l2Bridge() external view returns (address) {
        return bridge;
    }

    function _move(address from, address to, uint256 value) private {
        if (to == address(0)) revert ERC20InvalidReceiver(to);
        _take(from, value);
        unchecked {
            balanceOf[to] += value;
        }
        emit Transfer(from, to, value);
    }

    function _take(address from, uint256 value) private {
        uint256 balance = balanceOf[from];
        if (balance < value) revert ERC20InsufficientBalance(from, balance, value);
        unchecked {
            balanceOf[from] = balance - value;
        }
    }

    function _approve(address owner, address spender, uint256 value) private {
        allowance[owner][spender] = value;
        emit Approval(owner, spender, value);
    }
}
