// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ICantus} from "./ICantus.sol";

/// @title What Cantus calls back
/// @notice CantusClient implements it with the checks that every receiver needs.
interface ICantusReceiver {
    /// @notice Cantus tells what became of a request.
    /// @dev Check that msg.sender is Cantus, and that this contract made the request itself:
    /// anybody may name any contract as the callback of a request of their own. An error here
    /// undoes what the callback changed and nothing else: the answer stands, and can be read.
    /// @param id The request.
    /// @param status Final; or, under the optimistic policy, Answered, after which Refuted
    /// may follow; or Failed. FinalDigest and AnsweredDigest stand for Final and Answered
    /// where the answer is too long for the ledger.
    /// @param answer The answer's bytes, or its SHA-256; empty with Refuted and Failed.
    /// @param label How the answer was checked.
    /// @param receipt Digest of the worker's receipt.
    function onCantusResult(
        uint256 id,
        ICantus.Status status,
        bytes calldata answer,
        ICantus.Label label,
        bytes32 receipt
    ) external;
}
