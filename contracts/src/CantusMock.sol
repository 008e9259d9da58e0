// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ICantus} from "./ICantus.sol";
import {ICantusReceiver} from "./ICantusReceiver.sol";

/// @dev Pays as the ledger does: without calling code.
contract Payment {
    constructor(address to) payable {
        selfdestruct(payable(to));
    }
}

/// @title Cantus for unit tests
/// @notice Put this contract's code at 0x0000000000000000000000000000000000000c00 (`vm.etch`
/// in Foundry, `hardhat_setCode` in Hardhat); then `answer`, `answerPage`, `refute` and `fail` requests as
/// a test wants. It needs no constructor. It checks what the ledger would of a request's
/// money, and nothing of evidence: never put it on a network.
contract CantusMock is ICantus {
    struct Answer {
        bytes text;
        Label label;
        bytes32 receipt;
    }

    struct Artifact {
        address owner;
        uint64 job;
        string license;
        bool revoked;
        Label label;
        bool tainted;
    }

    /// @notice What a token, a page, a byte of the prompt and a unit of the callback's gas cost
    /// here.
    uint256 public constant TOKEN_PRICE = 1e12;
    uint256 public constant PAGE_PRICE = 1e13;
    uint256 public constant BYTE_PRICE = 1e10;
    uint256 public constant GAS_PRICE = 1 gwei;

    uint256 private _last;
    mapping(uint256 id => Request) private _requests;
    mapping(uint256 id => Answer) private _answers;
    mapping(uint256 id => uint256) private _fees;
    mapping(string cid => Artifact) private _artifacts;

    /// @inheritdoc ICantus
    function request(
        bytes32 model,
        bytes calldata prompt,
        Params calldata params,
        uint256 maxFee,
        address callback,
        uint64 callbackGas,
        uint8 policy
    ) external payable returns (uint256 id) {
        uint256 fee = quote(model, uint32(prompt.length), params.maxTokens, callbackGas, policy);
        id = _open(model, prompt, maxFee, fee, callback, callbackGas, policy);
        _requests[id].params = params;
    }

    /// @inheritdoc ICantus
    function fetch(
        string calldata url,
        bool text,
        uint256 maxFee,
        address callback,
        uint64 callbackGas,
        uint8 policy
    ) external payable returns (uint256 id) {
        uint256 fee = quoteFetch(text, uint32(bytes(url).length), callbackGas, policy);
        _checkURL(bytes(url));
        return _open(reader(text), bytes(url), maxFee, fee, callback, callbackGas, policy);
    }

    /// @notice What stands for the model in requests for pages.
    function reader(bool text) public pure returns (bytes32) {
        return text ? sha256("cantus speaker 1\x00ipage/text") : sha256("cantus speaker 1\x00ipage/body");
    }

    /// @inheritdoc ICantus
    function quote(bytes32, uint32 promptBytes, uint32 maxTokens, uint64 callbackGas, uint8 policy)
        public
        pure
        returns (uint256)
    {
        require(maxTokens > 0, "no tokens are wanted");
        return _workers(policy) * (promptBytes * BYTE_PRICE + maxTokens * TOKEN_PRICE) + _calls(callbackGas, policy);
    }

    /// @inheritdoc ICantus
    function quoteFetch(bool, uint32 urlBytes, uint64 callbackGas, uint8 policy) public pure returns (uint256) {
        require(urlBytes > 0 && urlBytes <= 2048, "an address has 1 to 2048 bytes");
        return _workers(policy) * PAGE_PRICE + urlBytes * BYTE_PRICE + _calls(callbackGas, policy);
    }

    /// @notice Answer a `fetch` with a page, as the network would under its policy. Its digest is
    /// the content's SHA-256 unless you give one.
    function answerPage(uint256 id, Page memory page, Label label_) external {
        bytes32 model = _requests[id].model;
        require(model == reader(true) || model == reader(false), "the request is not for a page");
        require(page.content.length <= 4096, "the ledger keeps at most 4096 bytes of a page: give its digest");
        if (page.digest == 0 && page.content.length > 0) page.digest = sha256(page.content);
        answer(id, abi.encode(page), label_);
    }

    /// @notice Answer a request, as the network would under its policy. Nothing of its fee
    /// comes back.
    function answer(uint256 id, bytes memory text, Label label_) public {
        Request storage r = _requests[id];
        require(r.status == Status.Open, "the request is not open");
        r.status = r.policy == 1 ? Status.Answered : Status.Final;
        bytes32 receipt = keccak256(abi.encode(id, text));
        _answers[id] = Answer(text, label_, receipt);
        emit Answered(id, r.status, label_, receipt, text);
        _call(id, text, label_, receipt);
    }

    /// @notice Show an optimistic answer to be false.
    function refute(uint256 id) external {
        require(_requests[id].status == Status.Answered, "the request was not answered optimistically");
        delete _answers[id];
        _end(id, Status.Refuted);
        _call(id, "", Label.None, 0);
    }

    /// @notice Let a request's time run out; its whole fee comes back.
    function fail(uint256 id) external {
        require(_requests[id].status == Status.Open, "the request is not open");
        _end(id, Status.Failed);
        _refund(id);
        _call(id, "", Label.None, 0);
    }

    /// @inheritdoc ICantus
    function conclude(uint256 id) external {
        require(_requests[id].status == Status.Answered, "nothing to conclude");
        _end(id, Status.Final);
    }

    /// @inheritdoc ICantus
    function cancel(uint256 id) external returns (uint256 refund) {
        Request storage r = _requests[id];
        require(r.status == Status.Open, "the request is not open");
        require(r.payer == msg.sender, "somebody else paid for the request");
        _end(id, Status.Cancelled);
        return _refund(id);
    }

    /// @inheritdoc ICantus
    function deliver(uint256, bytes calldata) external pure {
        revert("a mock has no evidence: call answer");
    }

    /// @inheritdoc ICantus
    function result(uint256 id)
        external
        view
        returns (Status status, bytes memory text, Label label_, bytes32 receipt)
    {
        Answer storage a = _answers[id];
        return (_requests[id].status, a.text, a.label, a.receipt);
    }

    /// @inheritdoc ICantus
    function requestOf(uint256 id) external view returns (Request memory) {
        return _requests[id];
    }

    /// @notice Register an artifact for `origin`, `label` and `isTainted`.
    function setArtifact(string calldata cid, Artifact calldata artifact) external {
        _artifacts[cid] = artifact;
    }

    /// @inheritdoc ICantus
    function origin(string calldata cid)
        external
        view
        returns (address owner, uint64 job, string memory license, bool revoked)
    {
        Artifact storage a = _artifact(cid);
        return (a.owner, a.job, a.license, a.revoked);
    }

    /// @inheritdoc ICantus
    function label(string calldata cid) external view returns (Label) {
        return _artifact(cid).label;
    }

    /// @inheritdoc ICantus
    function isTainted(string calldata cid) external view returns (bool) {
        return _artifact(cid).tainted;
    }

    /// What `request` and `fetch` share.
    function _open(
        bytes32 model,
        bytes calldata prompt,
        uint256 maxFee,
        uint256 fee,
        address callback,
        uint64 callbackGas,
        uint8 policy
    ) private returns (uint256 id) {
        require(msg.value == maxFee, "the value sent is not maxFee");
        require((callback == address(0)) == (callbackGas == 0), "a callback without gas, or gas without a callback");
        require(maxFee >= fee, "maxFee is less than the request can cost");
        id = ++_last;
        _fees[id] = maxFee;
        Request storage r = _requests[id];
        r.status = Status.Open;
        r.payer = msg.sender;
        r.callback = callback;
        r.callbackGas = callbackGas;
        r.callbackGasPrice = GAS_PRICE;
        r.policy = policy;
        r.model = model;
        r.job = uint64(id);
        r.height = uint64(block.number);
        r.prompt = prompt;
        r.promptDigest = sha256(prompt);
        emit Requested(id, model, msg.sender, r.job);
    }

    function _workers(uint8 policy) private pure returns (uint256) {
        require(policy <= 5, "unknown policy");
        return policy > 1 ? policy : 1;
    }

    function _calls(uint64 callbackGas, uint8 policy) private pure returns (uint256) {
        require(callbackGas == 0 || callbackGas >= 25_000, "too little gas for a callback");
        return (policy == 1 ? 2 : 1) * uint256(callbackGas) * GAS_PRICE;
    }

    /// Finds what a test is most likely to get wrong; the ledger finds more.
    function _checkURL(bytes calldata url) private pure {
        uint256 slashes;
        bool host;
        for (uint256 i = 0; i < url.length; i++) {
            bytes1 c = url[i];
            require(c > 0x20 && c < 0x7f && c != '"' && c != "<" && c != ">" && c != "\\" && c != "#", "no address has such a byte");
            if (slashes == 2 && c != "/") {
                require(c != "@" && (c < "A" || c > "Z"), "want the host in small letters, without a user's name");
                require(c != "?", "want a slash after the host");
                host = true;
            }
            if (c == "/") slashes++;
        }
        bool secure = url.length > 8 && bytes8(url) == "https://";
        require(secure || (url.length > 7 && bytes7(url) == "http://"), "want http:// or https://");
        require(host && slashes > 2, "want a slash after the host");
    }

    function _artifact(string calldata cid) private view returns (Artifact storage a) {
        a = _artifacts[cid];
        require(a.owner != address(0), "the artifact is not registered");
    }

    function _end(uint256 id, Status status) private {
        _requests[id].status = status;
        emit Concluded(id, status);
    }

    function _refund(uint256 id) private returns (uint256 amount) {
        amount = _fees[id];
        delete _fees[id];
        new Payment{value: amount}(_requests[id].payer);
    }

    /// An error of the callback is nobody else's, as on the ledger.
    function _call(uint256 id, bytes memory text, Label label_, bytes32 receipt) private {
        Request storage r = _requests[id];
        if (r.callbackGas == 0) return;
        bytes memory data =
            abi.encodeCall(ICantusReceiver.onCantusResult, (id, r.status, text, label_, receipt));
        address to = r.callback;
        uint256 gas_ = r.callbackGas;
        uint256 before = gasleft();
        require(before > gas_ + gas_ / 63 + 30_000, "too little gas for the callback");
        bool success;
        // What the callback returns is not copied: it may be as long as its gas allows.
        assembly ("memory-safe") {
            success := call(gas_, to, 0, add(data, 32), mload(data), 0, 0)
        }
        uint256 used = before - gasleft();
        emit Called(id, success, uint64(used < gas_ ? used : gas_));
    }
}
