// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// Proofs that a key has a value in a storage trie, whose keys are hashes (Ethereum's yellow paper,
/// appendices B and D). A proof is the nodes on the way, root first, each in its RLP; a node of less
/// than 32 bytes lies in its parent, and may stand in the proof too, as OP's tools put it there.
///
/// It is strict: nothing is skipped, and nothing is left over. Bridges were emptied because proofs
/// had fields that nobody read (BNB) or leaves that nobody asked for (Hyperbridge).
library MerklePatricia {
    /// More nodes than a way can have.
    error ProofTooLong(uint256 nodes, uint256 most);
    /// The proof ends before the way does.
    error ProofEnds(uint256 nodes);
    /// Nodes that are not on the way.
    error NodesLeft(uint256 read, uint256 given);
    /// More bytes than a node of a storage trie can have.
    error NodeTooLong(uint256 index, uint256 length, uint256 most);
    /// The node is another than its parent names.
    error NodeDiffers(uint256 index);
    /// Not a node, or not in the only encoding that it has. `index` is of the proof's node that it
    /// lies in.
    error NodeMalformed(uint256 index);
    /// The trie does not have the key: the way goes elsewhere after so many nibbles of it.
    error KeyMissing(uint256 nibbles);

    uint256 private constant NIBBLES = 64;
    /// A branch for each nibble, and a leaf.
    uint256 private constant MOST_NODES = NIBBLES + 1;
    /// A branch with 16 children by hash (33 bytes each), no value (1) and a header (3).
    uint256 private constant MOST_NODE_BYTES = 532;
    uint256 private constant BRANCH_ITEMS = 17;
    /// What is shorter lies in its parent, what is not is named by its hash.
    uint256 private constant HASH_BYTES = 32;

    /// A node on the way, and what is known of it.
    struct Place {
        /// Nodes of the proof read so far.
        uint256 read;
        /// Nibbles of the key behind it.
        uint256 nibbles;
        /// What the next node's hash is, if it does not lie in its parent.
        bytes32 hash;
        bool inParent;
        bool afterExtension;
    }

    /// The value of `key` in the trie `root`, in its RLP. Reverts if there is none, or if the proof
    /// is not exactly the nodes on the way.
    function get(bytes32 root, bytes32 key, bytes[] calldata proof) internal pure returns (bytes calldata) {
        if (proof.length > MOST_NODES) revert ProofTooLong(proof.length, MOST_NODES);
        if (proof.length == 0) revert ProofEnds(0);
        Place memory place = Place(0, 0, root, false, false);
        // Where the items of a node begin.
        uint256[BRANCH_ITEMS] memory items;
        bytes calldata node = proof[0];
        while (true) {
            node = _enter(place, node, proof);
            uint256 count = _items(place, node, items);
            if (count == BRANCH_ITEMS) {
                // The 17th item is of a key that ends here; a hash never does.
                _checkEmpty(place, node, items[BRANCH_ITEMS - 1]);
                if (place.nibbles == NIBBLES) revert KeyMissing(NIBBLES);
                place.afterExtension = false;
                node = _follow(place, node, items[_nibble(key, place.nibbles++)]);
            } else if (count == 2) {
                if (_walk(place, key, node, items[0])) return _value(place, node, items[1], proof.length);
                place.afterExtension = true;
                node = _follow(place, node, items[1]);
            } else {
                revert NodeMalformed(place.read - 1);
            }
        }
        revert ProofEnds(place.read);
    }

    /// The next node: of the proof, or in its parent.
    function _enter(Place memory place, bytes calldata inner, bytes[] calldata proof)
        private
        pure
        returns (bytes calldata node)
    {
        uint256 index = place.read;
        if (place.inParent) {
            if (index == proof.length) return inner;
            node = proof[index];
            if (keccak256(node) != keccak256(inner)) revert NodeDiffers(index);
        } else {
            if (index == proof.length) revert ProofEnds(index);
            node = proof[index];
            if (node.length > MOST_NODE_BYTES) revert NodeTooLong(index, node.length, MOST_NODE_BYTES);
            if (keccak256(node) != place.hash) revert NodeDiffers(index);
            // Only the root has a hash whatever its size.
            if (index != 0 && node.length < HASH_BYTES) revert NodeMalformed(index);
        }
        place.read = index + 1;
    }

    /// Where the items of a node begin; returns how many there are.
    function _items(Place memory place, bytes calldata node, uint256[BRANCH_ITEMS] memory items)
        private
        pure
        returns (uint256 count)
    {
        (bool list, uint256 offset, uint256 end) = _item(place, node, 0);
        if (!list || end != node.length) revert NodeMalformed(place.read - 1);
        while (offset < end) {
            if (count == BRANCH_ITEMS) revert NodeMalformed(place.read - 1);
            items[count++] = offset;
            (,, offset) = _item(place, node, offset);
        }
    }

    /// Goes along the path of a leaf or an extension; returns whether it is a leaf. The first nibble
    /// of a path tells the kind (2 for a leaf) and whether the number of nibbles is odd (1); if it is
    /// not, a zero follows.
    function _walk(Place memory place, bytes32 key, bytes calldata node, uint256 offset)
        private
        pure
        returns (bool leaf)
    {
        (bool list, uint256 start, uint256 end) = _item(place, node, offset);
        if (list || start == end) revert NodeMalformed(place.read - 1);
        uint256 first = uint8(node[start]);
        uint256 kind = first >> 4;
        bool odd = kind & 1 == 1;
        leaf = kind & 2 == 2;
        if (kind > 3 || (!odd && first & 15 != 0)) revert NodeMalformed(place.read - 1);
        uint256 count = 2 * (end - start - 1) + (odd ? 1 : 0);
        // Two nodes with paths, one after the other, are one.
        if (place.afterExtension || (!leaf && count == 0)) revert NodeMalformed(place.read - 1);
        uint256 left = NIBBLES - place.nibbles;
        if (leaf ? count != left : count >= left) revert KeyMissing(place.nibbles);
        for (uint256 index; index < count; index++) {
            uint256 skipped = index + (odd ? 1 : 2);
            uint256 pair = uint8(node[start + skipped / 2]);
            uint256 nibble = skipped % 2 == 0 ? pair >> 4 : pair & 15;
            if (nibble != _nibble(key, place.nibbles++)) revert KeyMissing(place.nibbles - 1);
        }
    }

    /// Names the child at an item, as the next node; returns it if it lies there.
    function _follow(Place memory place, bytes calldata node, uint256 offset)
        private
        pure
        returns (bytes calldata)
    {
        (bool list, uint256 start, uint256 end) = _item(place, node, offset);
        place.inParent = list;
        if (list) {
            if (end - offset >= HASH_BYTES) revert NodeMalformed(place.read - 1);
            return node[offset:end];
        }
        if (start == end) revert KeyMissing(place.nibbles);
        if (end - start != HASH_BYTES) revert NodeMalformed(place.read - 1);
        place.hash = bytes32(node[start:end]);
        return node;
    }

    /// The value of a leaf, behind which the proof ends.
    function _value(Place memory place, bytes calldata node, uint256 offset, uint256 given)
        private
        pure
        returns (bytes calldata)
    {
        (bool list, uint256 start, uint256 end) = _item(place, node, offset);
        if (list || start == end) revert NodeMalformed(place.read - 1);
        if (place.read != given) revert NodesLeft(place.read, given);
        return node[start:end];
    }

    function _checkEmpty(Place memory place, bytes calldata node, uint256 offset) private pure {
        (bool list, uint256 start, uint256 end) = _item(place, node, offset);
        if (list || start != end) revert NodeMalformed(place.read - 1);
    }

    /// Reads an item of RLP: whether it is a list, and from where to where its content lies. It has
    /// one encoding only: the shortest.
    function _item(Place memory place, bytes calldata data, uint256 offset)
        private
        pure
        returns (bool list, uint256 start, uint256 end)
    {
        if (offset >= data.length) revert NodeMalformed(place.read - 1);
        uint256 first = uint8(data[offset]);
        // A small byte is itself.
        if (first < 0x80) return (false, offset, offset + 1);
        list = first >= 0xc0;
        uint256 size = first - (list ? 0xc0 : 0x80);
        start = offset + 1;
        if (size > 55) {
            // The size stands in bytes of its own. A node has less than 65,536 bytes.
            uint256 sizeBytes = size - 55;
            if (sizeBytes > 2 || start + sizeBytes > data.length) revert NodeMalformed(place.read - 1);
            size = uint8(data[start]);
            if (size == 0) revert NodeMalformed(place.read - 1);
            if (sizeBytes == 2) size = size << 8 | uint8(data[start + 1]);
            if (size <= 55) revert NodeMalformed(place.read - 1);
            start += sizeBytes;
        }
        end = start + size;
        if (end > data.length) revert NodeMalformed(place.read - 1);
        if (!list && size == 1 && uint8(data[start]) < 0x80) revert NodeMalformed(place.read - 1);
    }

    function _nibble(bytes32 key, uint256 index) private pure returns (uint256) {
        return uint256(key) >> (252 - 4 * index) & 15;
    }
}
