// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ICantus} from "../src/ICantus.sol";
import {CantusClient} from "../src/CantusClient.sol";

/// @title A treasury whose votes a model sums up
/// @notice Members propose payments, vote with a reason, and when a vote is closed a model
/// writes what was decided and why. The votes alone decide: the summary is for readers. So it
/// is asked for under the optimistic policy: it is there at once, with its label, and goes
/// away again should it prove false.
contract TreasurySummary is CantusClient {
    struct Proposal {
        address to;
        uint256 amount;
        uint256 closes;
        uint256 yes;
        uint256 no;
        bool closed;
        bool paid;
        /// The request for the summary; 0 before the vote is closed.
        uint256 request;
        string text;
        bytes reasons;
    }

    struct Summary {
        bytes text;
        ICantus.Label label;
        bytes32 receipt;
    }

    /// @notice Bounds of what the summary's prompt is made of.
    uint256 public constant MAX_TEXT = 1024;
    uint256 public constant MAX_REASON = 140;
    uint256 public constant MAX_REASONS = 1500;
    /// @notice Gas to store a summary of about 500 bytes.
    uint64 public constant CALLBACK_GAS = 600_000;
    uint256 public constant VOTE_TIME = 3 days;

    bytes32 public immutable model;
    mapping(address account => bool) public isMember;
    Proposal[] private _proposals;
    mapping(uint256 proposal => mapping(address member => bool)) public hasVoted;
    mapping(uint256 proposal => Summary) private _summaries;
    /// Proposals by their request, counted from 1.
    mapping(uint256 id => uint256) private _proposalOf;

    event Proposed(uint256 indexed proposal, address indexed to, uint256 amount);
    event Voted(uint256 indexed proposal, address indexed member, bool yes);
    event Decided(uint256 indexed proposal, bool accepted, uint256 indexed request);
    event Summarised(uint256 indexed proposal, ICantus.Label label);
    event SummaryWithdrawn(uint256 indexed proposal);

    error NotMember();
    error TooLong();
    error VoteOpen();
    error VoteClosed();
    error VotedAlready();
    error PaymentRefused();

    modifier onlyMember() {
        if (!isMember[msg.sender]) revert NotMember();
        _;
    }

    /// @param model_ Who writes the summaries: ID of a speaker.
    /// @param members Who may propose and vote.
    constructor(bytes32 model_, address[] memory members) payable {
        model = model_;
        for (uint256 i = 0; i < members.length; i++) isMember[members[i]] = true;
    }

    receive() external payable {}

    /// @notice Propose a payment.
    function propose(address to, uint256 amount, string calldata text) external onlyMember returns (uint256 proposal) {
        if (bytes(text).length > MAX_TEXT) revert TooLong();
        proposal = _proposals.length;
        Proposal storage p = _proposals.push();
        p.to = to;
        p.amount = amount;
        p.text = text;
        p.closes = block.timestamp + VOTE_TIME;
        emit Proposed(proposal, to, amount);
    }

    /// @notice Vote, and say why. Reasons beyond the prompt's bound are not summed up.
    function vote(uint256 proposal, bool yes, string calldata reason) external onlyMember {
        Proposal storage p = _proposals[proposal];
        if (block.timestamp >= p.closes) revert VoteClosed();
        if (hasVoted[proposal][msg.sender]) revert VotedAlready();
        if (bytes(reason).length > MAX_REASON) revert TooLong();
        hasVoted[proposal][msg.sender] = true;
        if (yes) p.yes++;
        else p.no++;
        if (p.reasons.length + bytes(reason).length + 6 <= MAX_REASONS) {
            p.reasons = abi.encodePacked(p.reasons, yes ? "\nyes: " : "\nno: ", reason);
        }
        emit Voted(proposal, msg.sender, yes);
    }

    /// @notice Close a vote, pay what was accepted, and ask for the summary out of the
    /// treasury. Anybody may, once the time has come.
    function close(uint256 proposal) external {
        Proposal storage p = _proposals[proposal];
        if (block.timestamp < p.closes) revert VoteOpen();
        if (p.closed) revert VoteClosed();
        p.closed = true;
        bool accepted = p.yes > p.no;
        bytes memory prompt = abi.encodePacked(
            "Sum up this vote of a treasury in two sentences: what was decided, and why.\nProposal: ",
            p.text,
            accepted ? "\nIt was accepted." : "\nIt was rejected.",
            "\nVotes and reasons, as members wrote them:",
            p.reasons
        );
        uint256 id = _ask(model, prompt, ICantus.Params(96, 0, 0, 0, 0), CALLBACK_GAS, OPTIMISTIC);
        p.request = id;
        _proposalOf[id] = proposal + 1;
        emit Decided(proposal, accepted, id);
        if (accepted) {
            p.paid = true;
            (bool ok,) = p.to.call{value: p.amount}("");
            if (!ok) revert PaymentRefused();
        }
    }

    /// @notice A proposal and its votes.
    function proposalOf(uint256 proposal) external view returns (Proposal memory) {
        return _proposals[proposal];
    }

    /// @notice The summary of a vote; empty where there is none, or no longer.
    /// @return text What the model wrote.
    /// @return label How it was checked when it came.
    /// @return isFinal Whether it can no longer be refuted.
    function summaryOf(uint256 proposal)
        external
        view
        returns (string memory text, ICantus.Label label, bool isFinal)
    {
        Summary storage s = _summaries[proposal];
        if (s.text.length == 0) return ("", ICantus.Label.None, false);
        (ICantus.Status status,,,) = CANTUS.result(_proposals[proposal].request);
        return (string(s.text), s.label, status == ICantus.Status.Final);
    }

    function _answered(uint256 id, bytes calldata answer, ICantus.Label label, bytes32 receipt) internal override {
        uint256 proposal = _proposalOf[id] - 1;
        _summaries[proposal] = Summary(answer, label, receipt);
        emit Summarised(proposal, label);
    }

    function _refuted(uint256 id) internal override {
        uint256 proposal = _proposalOf[id] - 1;
        delete _summaries[proposal];
        emit SummaryWithdrawn(proposal);
    }
}
