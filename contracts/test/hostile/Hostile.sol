// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ICantus} from "../../src/ICantus.sol";

/// Destroys itself while it is being made, after a call that had its account written.
contract Shortlived {
    constructor(address heir) {
        ICantus(0x0000000000000000000000000000000000000c00).result(1);
        selfdestruct(payable(heir));
    }
}

/// Asks, and destroys itself in the same transaction.
contract Mayfly {
    constructor() payable {}

    function askAndDie(bytes32 model, uint256 fee, address heir) external {
        ICantus cantus = ICantus(0x0000000000000000000000000000000000000c00);
        cantus.request{value: fee}(model, "hi", ICantus.Params(4, 0, 0, 0, 0), fee, address(this), 50_000, 0);
        selfdestruct(payable(heir));
    }
}

/// A contract that asks in every wrong way, and does its worst when it is called back.
contract Hostile {
    ICantus private constant CANTUS = ICantus(0x0000000000000000000000000000000000000c00);

    // What happens when it is called back.
    uint8 public mode;
    bytes32 public model;
    address payable public target; // who is paid, called or robbed, where a mode needs one
    uint256 public calls;
    uint256 public lastId;
    uint8 public lastStatus;
    bytes public lastAnswer;
    bytes32 public trace; // what inner calls said

    error Loud(bytes noise);

    constructor() payable {}

    receive() external payable {}

    function set(uint8 mode_, bytes32 model_, address payable target_) external {
        (mode, model, target) = (mode_, model_, target_);
    }

    function params() private pure returns (ICantus.Params memory) {
        return ICantus.Params(4, 0, 0, 0, 0);
    }

    function fee(uint64 gas_, uint8 policy) public view returns (uint256) {
        return CANTUS.quote(model, 2, 4, gas_, policy);
    }

    function ask(uint64 gas_, uint8 policy) public returns (uint256) {
        uint256 f = fee(gas_, policy);
        return CANTUS.request{value: f}(model, "hi", params(), f, gas_ == 0 ? address(0) : address(this), gas_, policy);
    }

    /// A storm: as many requests as it is told, in one transaction.
    function storm(uint256 n, uint256 f, uint64 gas_) external {
        for (uint256 i = 0; i < n; i++) {
            CANTUS.request{value: f}(model, "hi", params(), f, address(this), gas_, 0);
        }
    }

    /// A storm in which errors are swallowed.
    function storming(uint256 n, uint256 f, uint64 gas_) external returns (uint256 made) {
        for (uint256 i = 0; i < n; i++) {
            try CANTUS.request{value: f, gas: 1_000_000}(model, "hi", params(), f, address(this), gas_, 0) {
                made++;
            } catch {}
        }
    }

    function askAndRevert(uint64 gas_) external {
        ask(gas_, 0);
        revert("never mind");
    }

    /// A request in an inner call that is undone, between two that are not.
    function askAround(uint64 gas_) external {
        ask(gas_, 0);
        try this.askAndRevert(gas_) {} catch {}
        ask(gas_, 0);
    }

    /// Sends another value than the fee it names.
    function askMismatched(uint256 value, uint256 maxFee) external {
        CANTUS.request{value: value}(model, "hi", params(), maxFee, address(this), 50_000, 0);
    }

    function data(uint256 f) private view returns (bytes memory) {
        return abi.encodeCall(ICantus.request, (model, "hi", params(), f, address(this), 50_000, 0));
    }

    function askDelegated(uint256 f) external payable returns (bool ok) {
        (ok,) = address(CANTUS).delegatecall(data(f));
    }

    function askStatic(uint256 f) external view returns (bool ok) {
        (ok,) = address(CANTUS).staticcall(data(f));
    }

    function cancelDelegated(uint256 id) external returns (bool ok) {
        (ok,) = address(CANTUS).delegatecall(abi.encodeCall(ICantus.cancel, (id)));
    }

    function cancelStatic(uint256 id) external view returns (bool ok) {
        (ok,) = address(CANTUS).staticcall(abi.encodeCall(ICantus.cancel, (id)));
    }

    function askCallcode(uint256 f) external returns (bool ok) {
        // Solidity no longer writes CALLCODE. This is code that copies its input and does:
        // CALLCODE(gas, 0xc00, f, 0, size, 0, 0) and returns the outcome.
        bytes memory init = abi.encodePacked(
            hex"601c600c600039601c6000f3", // deploy what follows
            hex"366000600037", // calldatacopy(0, 0, size)
            hex"600060003660006000610c005af2", // callcode(gas, 0xc00, 0, 0, size, 0, 0)
            hex"60005260206000f3" // return it
        );
        address made;
        assembly ("memory-safe") {
            made := create(0, add(init, 32), mload(init))
        }
        require(made != address(0), "not deployed");
        (bool done, bytes memory out) = made.call(data(f));
        require(done && out.length == 32, "no outcome");
        return abi.decode(out, (uint256)) == 1;
    }

    function cancel(uint256 id) external {
        CANTUS.cancel(id);
    }

    function deliver(uint256 id, bytes calldata evidence) external {
        CANTUS.deliver(id, evidence);
    }

    function conclude(uint256 id) external {
        CANTUS.conclude(id);
    }

    /// Sends money to the precompile without asking for anything.
    function give(uint256 value) external returns (bool ok) {
        (ok,) = address(CANTUS).call{value: value}("");
    }

    function viewWithValue(uint256 value) external returns (bool ok) {
        (ok,) = address(CANTUS).call{value: value}(abi.encodeCall(ICantus.result, (1)));
    }

    function mayfly(uint256 f) external {
        new Mayfly{value: f}().askAndDie(model, f, address(this));
    }

    function shortlived() external {
        new Shortlived(address(this));
    }

    function onCantusResult(uint256 id, uint8 status, bytes calldata answer, uint8, bytes32) external {
        calls++;
        lastId = id;
        lastStatus = status;
        lastAnswer = answer;
        uint8 m = mode;
        if (m == 1) revert("no, thanks");
        if (m == 2) while (true) {}
        if (m == 3) revert Loud(new bytes(100_000)); // a return-data bomb
        if (m == 4) {
            assembly {
                return(0, 400000)
            }
        }
        if (m == 5) ask(50_000, 0); // asks again
        if (m == 6) CANTUS.cancel(id); // takes back what is being answered
        if (m == 7) CANTUS.deliver(id, ""); // delivers again from inside
        if (m == 8) CANTUS.conclude(id);
        if (m == 9) {
            // Pays an account that may not be paid: the transaction's state could not be written.
            (bool ok,) = target.call{value: 1}("");
            require(ok, "refused");
        }
        if (m == 10) {
            for (uint256 i = 0; i < 40; i++) {
                try CANTUS.result{gas: 20_000}(id) {} catch {}
            }
        }
        if (m == 11) new Shortlived(address(this));
        if (m == 12) selfdestruct(target);
        if (m == 13) this.askAndRevert(50_000);
        if (m == 14) {
            try this.askAndRevert(50_000) {} catch {}
            (bool ok,) = target.call{value: 7}("");
            require(ok, "refused");
        }
        if (m == 15) {
            // Sends all it has away, so that the refund meets an empty account.
            (bool ok,) = target.call{value: address(this).balance}("");
            require(ok, "refused");
        }
        if (m == 16) {
            (bool ok,) = address(CANTUS).call{value: 3}("");
            trace = bytes32(uint256(ok ? 1 : 2));
        }
        if (m == 17) invalid();
    }

    function invalid() private pure {
        assembly {
            invalid()
        }
    }
}
