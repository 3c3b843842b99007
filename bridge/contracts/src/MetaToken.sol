// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// The hub's coin on a chain whose gas coin is another: an ERC-20 with EIP-2612 permits. The
/// Mailbox that deployed it mints and burns; nobody owns it and nothing can be changed.
contract MetaToken {
    /// ERC-20.
    event Transfer(address indexed from, address indexed to, uint256 value);
    /// ERC-20.
    event Approval(address indexed owner, address indexed spender, uint256 value);

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
    /// Only the Mailbox mints and burns.
    error OnlyMailbox();

    string public constant name = "ERA";
    string public constant symbol = "ERA";
    uint8 public constant decimals = 18;

    bytes32 private constant DOMAIN =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private constant PERMIT =
        keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
    /// Half of the curve's order: a signature with a higher `s` has a twin (EIP-2).
    uint256 private constant HALF_ORDER = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0;

    /// Who mints and burns.
    address public immutable mailbox = msg.sender;

    uint256 public totalSupply;
    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;
    /// Next nonce of an owner's permits.
    mapping(address => uint256) public nonces;

    modifier onlyMailbox() {
        if (msg.sender != mailbox) revert OnlyMailbox();
        _;
    }

    function transfer(address to, uint256 value) external returns (bool) {
        _move(msg.sender, to, value);
        return true;
    }

    function approve(address spender, uint256 value) external returns (bool) {
        _approve(msg.sender, spender, value);
        return true;
    }

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

    /// Makes coins that arrived.
    function mint(address to, uint256 value) external onlyMailbox {
        totalSupply += value;
        // No balance is above the supply.
        unchecked {
            balanceOf[to] += value;
        }
        emit Transfer(address(0), to, value);
    }

    /// Unmakes coins that leave.
    function burn(address from, uint256 value) external onlyMailbox {
        _take(from, value);
        unchecked {
            totalSupply -= value;
        }
        emit Transfer(from, address(0), value);
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
