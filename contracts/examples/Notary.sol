// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ICantus} from "../src/ICantus.sol";
import {CantusClient} from "../src/CantusClient.sol";

/// @title A notary of the web
/// @notice Anybody pays to have it recorded what a page said: its digest stays here, and the page
/// itself, where it is short, in an event. Two or more workers must have seen the same, or
/// the receipt of one must have stood its audits.
/// @dev What it records is what a server said to the network's workers, and no more: the
/// server may have lied, or said something else to others.
contract Notary is CantusClient {
    struct Entry {
        address by;
        bool text;
        bool cut;
        /// 0 until the page is known; it stays 0 where nobody could fetch it.
        uint16 status;
        uint64 time;
        ICantus.Label label;
        bytes32 digest;
        string url;
    }

    /// @notice The callback's gas: two slots are written, and the longest page is logged.
    uint64 public constant CALLBACK_GAS = 250_000;

    mapping(uint256 id => Entry) private _entries;

    event Asked(uint256 indexed id, address indexed by, string url);
    event Recorded(uint256 indexed id, ICantus.Page page);

    error NotFinal();

    receive() external payable {}

    /// @notice Have a page recorded. What comes back of the fee stays here, for whoever asks next.
    /// @param url The page's address.
    /// @param text Whether its text matters, or its body.
    /// @param policy SAFE, or 2 to 5 for so many workers.
    function record(string calldata url, bool text, uint8 policy) external payable returns (uint256 id) {
        if (policy == OPTIMISTIC) revert NotFinal();
        id = _fetch(url, text, CALLBACK_GAS, policy);
        Entry storage e = _entries[id];
        (e.by, e.text, e.url) = (msg.sender, text, url);
        emit Asked(id, msg.sender, url);
    }

    /// @notice What was recorded.
    /// @param id What `record` returned.
    function entry(uint256 id) external view returns (Entry memory) {
        return _entries[id];
    }

    function _answered(uint256 id, bytes calldata answer, ICantus.Label label, bytes32) internal override {
        ICantus.Page memory page = _page(answer);
        Entry storage e = _entries[id];
        (e.cut, e.status, e.time, e.digest, e.label) = (page.cut, page.status, page.time, page.digest, label);
        emit Recorded(id, page);
    }
}
