// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ICantus} from "./ICantus.sol";
import {ICantusReceiver} from "./ICantusReceiver.sol";

/// @title Base of contracts that ask models, or for pages of the web
/// @notice Ask with `_ask` or `_fetch`, and say in `_answered` what an answer does. Requests are paid
/// from the contract's own balance, and what they did not use comes back to it.
abstract contract CantusClient is ICantusReceiver {
    /// @notice Cantus, on every ledger.
    ICantus public constant CANTUS = ICantus(0x0000000000000000000000000000000000000c00);

    /// @notice Wait for the window for audits and disputes.
    uint8 internal constant SAFE = 0;
    /// @notice Be told at once, and again if it proves false.
    uint8 internal constant OPTIMISTIC = 1;

    /// @notice Only Cantus may call this.
    error OnlyCantus(address caller);
    /// @notice This contract did not make the request, or has heard its end already.
    error NotAsked(uint256 id);
    /// @notice The contract has less than the request needs.
    error FeeNotCovered(uint256 fee, uint256 balance);

    mapping(uint256 id => bool) private _waiting;

    /// @notice Ask a model; the answer comes to `_answered`.
    /// @dev Who is allowed to make the contract spend is for the caller to say.
    /// @param model ID of a speaker.
    /// @param prompt The user's text.
    /// @param params How the answer is drawn.
    /// @param callbackGas Gas for `_answered`, and for about 5,000 more around it.
    /// @param policy SAFE, OPTIMISTIC, or 2 to 5 for so many workers that must agree.
    /// @return id The request.
    function _ask(
        bytes32 model,
        bytes memory prompt,
        ICantus.Params memory params,
        uint64 callbackGas,
        uint8 policy
    ) internal returns (uint256 id) {
        uint256 fee = CANTUS.quote(model, uint32(prompt.length), params.maxTokens, callbackGas, policy);
        if (fee > address(this).balance) revert FeeNotCovered(fee, address(this).balance);
        id = CANTUS.request{value: fee}(model, prompt, params, fee, address(this), callbackGas, policy);
        _waiting[id] = true;
    }

    /// @notice Ask for a page of the web; the answer comes to `_answered`, where `_page` reads
    /// it.
    /// @dev Who is allowed to make the contract spend is for the caller to say.
    /// @param url The page's address; see ICantus.fetch for how it must be spelt.
    /// @param text Whether its text is wanted, or its body.
    /// @param callbackGas Gas for `_answered`, and for about 5,000 more around it.
    /// @param policy SAFE, OPTIMISTIC, or 2 to 5 for so many workers that must see the same.
    /// @return id The request.
    function _fetch(string memory url, bool text, uint64 callbackGas, uint8 policy) internal returns (uint256 id) {
        uint256 fee = CANTUS.quoteFetch(text, uint32(bytes(url).length), callbackGas, policy);
        if (fee > address(this).balance) revert FeeNotCovered(fee, address(this).balance);
        id = CANTUS.fetch{value: fee}(url, text, fee, address(this), callbackGas, policy);
        _waiting[id] = true;
    }

    /// @notice The page that an answer to a `_fetch` is. What it says is whatever a server
    /// said, so anything; and so is its status.
    /// @param answer What `_answered` was told.
    function _page(bytes calldata answer) internal pure returns (ICantus.Page memory) {
        return abi.decode(answer, (ICantus.Page));
    }

    /// @notice Take back a request that is still open.
    /// @param id The request.
    /// @return refund What came back with this call; the escrow's rest follows.
    function _cancel(uint256 id) internal returns (uint256 refund) {
        if (!_waiting[id]) revert NotAsked(id);
        delete _waiting[id];
        refund = CANTUS.cancel(id);
    }

    /// @notice Whether more may be heard of a request. After an optimistic answer it stays
    /// true, as nobody is called when such an answer becomes final.
    /// @param id The request.
    function _isWaiting(uint256 id) internal view returns (bool) {
        return _waiting[id];
    }

    /// @inheritdoc ICantusReceiver
    function onCantusResult(
        uint256 id,
        ICantus.Status status,
        bytes calldata answer,
        ICantus.Label label,
        bytes32 receipt
    ) external override {
        if (msg.sender != address(CANTUS)) revert OnlyCantus(msg.sender);
        if (!_waiting[id]) revert NotAsked(id);
        if (status != ICantus.Status.Answered && status != ICantus.Status.AnsweredDigest) delete _waiting[id];
        if (status == ICantus.Status.Final || status == ICantus.Status.Answered) {
            _answered(id, answer, label, receipt);
        } else if (status == ICantus.Status.FinalDigest || status == ICantus.Status.AnsweredDigest) {
            _answeredDigest(id, bytes32(answer), label, receipt);
        } else if (status == ICantus.Status.Refuted) {
            _refuted(id);
        } else {
            _failed(id);
        }
    }

    /// @notice An answer came. Under OPTIMISTIC it may still be refuted.
    /// @param id The request.
    /// @param answer The answer's bytes: whatever a model says, so anything; of a page what
    /// `_page` reads.
    /// @param label How it was checked.
    /// @param receipt Digest of the worker's receipt.
    function _answered(uint256 id, bytes calldata answer, ICantus.Label label, bytes32 receipt) internal virtual;

    /// @notice An answer came that is longer than the ledger keeps. Who wants it brings it,
    /// and sha256 shows that it is the one.
    /// @param id The request.
    /// @param digest SHA-256 of the answer's bytes.
    /// @param label How it was checked.
    /// @param receipt Digest of the worker's receipt.
    function _answeredDigest(uint256 id, bytes32 digest, ICantus.Label label, bytes32 receipt) internal virtual {}

    /// @notice An optimistic answer proved false: undo what it did. Contracts that use
    /// OPTIMISTIC must override this.
    /// @param id The request.
    function _refuted(uint256 id) internal virtual {}

    /// @notice A request was not answered in its time; its money comes back.
    /// @param id The request.
    function _failed(uint256 id) internal virtual {}
}
