// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.20;

import {MerklePatricia} from "l1/MerklePatricia.sol";

/// The portal's reader of proofs alone, with any root and key.
contract Proofs {
    function get(bytes32 root, bytes32 key, bytes[] calldata proof) external pure returns (bytes memory) {
        return MerklePatricia.get(root, key, proof);
    }
}
