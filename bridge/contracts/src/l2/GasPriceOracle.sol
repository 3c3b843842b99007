// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {L1Block} from "./L1Block.sol";

/// What a transaction costs beside its gas, at 0x420000000000000000000000000000000000000F: the rules
/// of OP's Fjord for the fee for data, of Isthmus for the operator's. Rules and numbers are of the
/// block that the call runs in.
contract GasPriceOracle {
    string public constant version = "1.0.0";
    bool public constant isEcotone = true;
    bool public constant isFjord = true;
    bool public constant isIsthmus = true;
    bool public constant isJovian = false;
    /// Decimals of the scalars.
    uint256 public constant decimals = 6;
    uint256 public constant DECIMALS = 6;
    /// Of fees as they were before Ecotone.
    uint256 public constant overhead = 0;
    uint256 public constant scalar = 0;

    L1Block private constant L1_BLOCK = L1Block(0x4200000000000000000000000000000000000015);
    /// Bytes of a signature, which is not there yet.
    uint256 private constant SIGNATURE_BYTES = 68;
    /// Fjord guesses what a transaction takes in a batch by what FastLZ makes of it: so many
    /// millionths of a byte for each byte, less so many, and at least so many.
    uint256 private constant SLOPE = 836_500;
    uint256 private constant INTERCEPT = 42_585_600;
    uint256 private constant LEAST = 100_000_000;
    /// Gas for a byte in a transaction of the parent chain.
    uint256 private constant BYTE_GAS = 16;

    /// Wei for the data of a transaction, given in its RLP without signature.
    function getL1Fee(bytes memory transaction) external view returns (uint256) {
        return _fee(_flzLength(transaction) + SIGNATURE_BYTES);
    }

    /// Most wei for the data of a transaction of so many bytes without signature: of bytes in which
    /// nothing comes twice. OP's has a lower number, which random bytes exceed.
    function getL1FeeUpperBound(uint256 unsignedBytes) external view returns (uint256) {
        return _fee(_runs(unsignedBytes) + SIGNATURE_BYTES);
    }

    /// Gas that the data would take in a transaction of the parent chain.
    function getL1GasUsed(bytes memory transaction) external pure returns (uint256) {
        return _size(_flzLength(transaction) + SIGNATURE_BYTES) * BYTE_GAS / 1e6;
    }

    /// Wei for the operator.
    function getOperatorFee(uint256 gasUsed) external view returns (uint256) {
        return gasUsed * L1_BLOCK.operatorFeeScalar() / 1e6 + L1_BLOCK.operatorFeeConstant();
    }

    /// Wei for a unit of gas of the parent chain.
    function l1BaseFee() external view returns (uint256) {
        return L1_BLOCK.basefee();
    }

    /// Wei for a unit of blob gas of the parent chain.
    function blobBaseFee() external view returns (uint256) {
        return L1_BLOCK.blobBaseFee();
    }

    /// Share of the price for a byte in a transaction, in millionths.
    function baseFeeScalar() external view returns (uint32) {
        return L1_BLOCK.baseFeeScalar();
    }

    /// Share of the price for a byte in a blob, in millionths.
    function blobBaseFeeScalar() external view returns (uint32) {
        return L1_BLOCK.blobBaseFeeScalar();
    }

    /// Wei for a unit of gas of this chain.
    function gasPrice() external view returns (uint256) {
        return block.basefee;
    }

    /// Wei for a unit of gas of this chain.
    function baseFee() external view returns (uint256) {
        return block.basefee;
    }

    function _fee(uint256 flzLength) private view returns (uint256) {
        uint256 price = L1_BLOCK.baseFeeScalar() * BYTE_GAS * L1_BLOCK.basefee()
            + L1_BLOCK.blobBaseFeeScalar() * L1_BLOCK.blobBaseFee();
        return _size(flzLength) * price / 1e12;
    }

    /// Millionths of bytes that a transaction takes in a batch.
    function _size(uint256 flzLength) private pure returns (uint256) {
        uint256 size = SLOPE * flzLength;
        return size < INTERCEPT + LEAST ? LEAST : size - INTERCEPT;
    }

    // ---- FastLZ, level 1: how long its output would be ----

    uint256 private constant WINDOW = 8192;
    uint256 private constant LONGEST_MATCH = 262;
    uint256 private constant LONGEST_RUN = 32;
    /// No match begins in so many last bytes.
    uint256 private constant TAIL = 13;

    /// The compressor keeps, for each hash of three bytes, where they were seen last. Bytes seen
    /// before, at most a window ago, become a match of 2 or 3 bytes; those between matches are
    /// copied, in runs of up to 32 with a byte before each.
    function _flzLength(bytes memory data) private pure returns (uint256 size) {
        // No number here is larger than twice the length.
        unchecked {
            if (data.length <= TAIL) return _runs(data.length);
            // Positions have 4 bytes.
            bytes memory seen = new bytes(WINDOW * 4 + 28);
            uint256 limit = data.length - TAIL;
            uint256 copied;
            uint256 place = 2;
            while (place < limit) {
                uint256 three = _three(data, place);
                uint256 last = _swap(seen, three, place);
                if (place - last >= WINDOW || three != _three(data, last)) {
                    place++;
                    continue;
                }
                // The last step sees a match, but does not use it.
                if (place + 1 >= limit) break;
                size += _runs(place - copied);
                uint256 length = _compared(data, last + 3, place + 3, limit + 9);
                size += 3 * ((length - 1) / LONGEST_MATCH) + ((length - 1) % LONGEST_MATCH >= 6 ? 3 : 2);
                place += length;
                _swap(seen, _three(data, place), place);
                _swap(seen, _three(data, place + 1), place + 1);
                place += 2;
                copied = place;
            }
            size += _runs(data.length - copied);
        }
    }

    /// Bytes that copied ones take.
    function _runs(uint256 length) private pure returns (uint256) {
        return length + (length + LONGEST_RUN - 1) / LONGEST_RUN;
    }

    /// How many bytes are compared from two places on, until one differs or `end` is reached: the
    /// one that differs counts.
    function _compared(bytes memory data, uint256 before, uint256 place, uint256 end)
        private
        pure
        returns (uint256 length)
    {
        unchecked {
            while (place + length < end) {
                length++;
                if (data[before + length - 1] != data[place + length - 1]) break;
            }
        }
    }

    /// Notes where three bytes were seen, and returns where they, or others with their hash, were
    /// before; 0 if nowhere.
    function _swap(bytes memory seen, uint256 three, uint256 place) private pure returns (uint256 last) {
        uint256 entry = three * 2_654_435_769 >> 19 & (WINDOW - 1);
        assembly ("memory-safe") {
            let word := add(add(seen, 32), shl(2, entry))
            let content := mload(word)
            last := shr(224, content)
            mstore(word, or(shl(224, place), and(content, sub(shl(224, 1), 1))))
        }
    }

    /// Three bytes, the first the lowest.
    function _three(bytes memory data, uint256 place) private pure returns (uint256) {
        uint256 word;
        assembly ("memory-safe") {
            word := mload(add(add(data, 32), place))
        }
        return word >> 248 | (word >> 240 & 0xff) << 8 | (word >> 232 & 0xff) << 16;
    }
}
