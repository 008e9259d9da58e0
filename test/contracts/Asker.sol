// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {CantusClient} from "../../contracts/src/CantusClient.sol";
import {ICantus} from "../../contracts/src/ICantus.sol";

/// @title A contract that asks a model, or for pages, and remembers what it was told
contract Asker is CantusClient {
    struct Told {
        uint64 calls;
        bool answered;
        bool refuted;
        bool failed;
        bytes answer;
        ICantus.Label label;
        bytes32 receipt;
    }

    event Asked(uint256 indexed id);
    event Heard(uint256 indexed id, bytes answer, ICantus.Label label);
    event Saw(uint256 indexed id, ICantus.Page page);
    event Refuted(uint256 indexed id);

    mapping(uint256 id => Told) private _told;
    mapping(uint256 id => bool) private _ofPage;

    receive() external payable {}

    function ask(bytes32 model, bytes calldata prompt, ICantus.Params calldata params, uint64 callbackGas, uint8 policy)
        external
        payable
        returns (uint256 id)
    {
        id = _ask(model, prompt, params, callbackGas, policy);
        emit Asked(id);
    }

    function fetchPage(string calldata url, bool text, uint64 callbackGas, uint8 policy)
        external
        payable
        returns (uint256 id)
    {
        id = _fetch(url, text, callbackGas, policy);
        _ofPage[id] = true;
        emit Asked(id);
    }

    function told(uint256 id) external view returns (Told memory) {
        return _told[id];
    }

    function cancel(uint256 id) external returns (uint256) {
        return _cancel(id);
    }

    function _answered(uint256 id, bytes calldata answer, ICantus.Label label, bytes32 receipt) internal override {
        Told storage t = _told[id];
        t.calls++;
        t.answered = true;
        (t.answer, t.label, t.receipt) = (answer, label, receipt);
        emit Heard(id, answer, label);
        if (_ofPage[id]) emit Saw(id, _page(answer));
    }

    function _refuted(uint256 id) internal override {
        Told storage t = _told[id];
        t.calls++;
        t.refuted = true;
        emit Refuted(id);
    }

    function _failed(uint256 id) internal override {
        Told storage t = _told[id];
        t.calls++;
        t.failed = true;
    }
}
