// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ICantus} from "../../contracts/src/ICantus.sol";

/// @title A contract that asks as often as one transaction may, and takes much of it back
contract Storm {
    ICantus private constant CANTUS = ICantus(0x0000000000000000000000000000000000000c00);

    uint256[] private _ids;
    uint256 public heard;
    uint256 public heardBytes;

    constructor() payable {}

    receive() external payable {}

    function storm(bytes32 model, uint256 n, uint256 fee, uint64 gas_, uint8 policy) public {
        for (uint256 i = 0; i < n; i++) _ids.push(_ask(model, fee, gas_, policy));
    }

    /// Asks n times and cancels each request in the same transaction.
    function askAndCancel(bytes32 model, uint256 n, uint256 fee, uint64 gas_, uint8 policy) external {
        for (uint256 i = 0; i < n; i++) CANTUS.cancel(_ask(model, fee, gas_, policy));
    }

    /// Cancels its newest n requests, as far as they are open.
    function cancel(uint256 n) external {
        for (uint256 i = 0; i < n && _ids.length > 0; i++) {
            uint256 id = _ids[_ids.length - 1];
            _ids.pop();
            try CANTUS.cancel{gas: 400_000}(id) {} catch {}
        }
    }

    function stormAndRevert(bytes32 model, uint256 n, uint256 fee, uint64 gas_, uint8 policy) external {
        storm(model, n, fee, gas_, policy);
        revert("never mind");
    }

    /// One request that stays, between inner calls that are undone.
    function undone(bytes32 model, uint256 n, uint256 fee, uint64 gas_, uint8 policy) external {
        try this.stormAndRevert(model, n, fee, gas_, policy) {} catch {}
        storm(model, 1, fee, gas_, policy);
        try this.stormAndRevert(model, n, fee, gas_, policy) {} catch {}
    }

    function onCantusResult(uint256, uint8, bytes calldata answer, uint8, bytes32) external {
        heard++;
        heardBytes += answer.length;
    }

    function _ask(bytes32 model, uint256 fee, uint64 gas_, uint8 policy) private returns (uint256) {
        ICantus.Params memory p = ICantus.Params(4, 0, 0, 0, 0);
        return CANTUS.request{value: fee}(model, "hi", p, fee, gas_ == 0 ? address(0) : address(this), gas_, policy);
    }
}
