// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title Cantus, as contracts see it
/// @notice A contract asks a model, or for a page of the web, and pays; the network answers;
/// the contract is called back. The ledger itself checks that an answer is a receipt of a worker over exactly this
/// request, and no answer under the safe policy is told before its window for audits and
/// disputes has passed.
/// @dev A precompiled contract at 0x0000000000000000000000000000000000000c00 of every Cantus
/// ledger. It cannot be called by DELEGATECALL or CALLCODE, and by STATICCALL only where a
/// function is a view. One transaction makes at most 20 calls to precompiled contracts.
interface ICantus {
    /// @notice How an answer is drawn from the model. The same parameters and the same
    /// request always give the same answer, on any machine.
    struct Params {
        /// The answer ends after this many tokens at the latest.
        uint32 maxTokens;
        /// In millionths; 0 always takes the likeliest token.
        uint32 temperature;
        /// Only the so many likeliest tokens are drawn from; 0 for all.
        uint32 topK;
        /// Only the likeliest tokens that have so many millionths of probability together
        /// are drawn from; 0 for all.
        uint32 topP;
        /// Joined with the request's ID: two requests draw differently.
        uint64 seed;
    }

    /// @notice Where a request is in its life.
    enum Status {
        /// There is no such request.
        None,
        /// Waits for its answer.
        Open,
        /// Told under the optimistic policy, and not final: it may yet be refuted.
        Answered,
        /// Answered for good.
        Final,
        /// What was told under the optimistic policy proved false.
        Refuted,
        /// Not answered in its time.
        Failed,
        /// Taken back by who paid for it.
        Cancelled,
        /// As Answered, of an answer longer than the ledger keeps: what stands for it is its
        /// SHA-256.
        AnsweredDigest,
        /// As Final, of such an answer.
        FinalDigest
    }

    /// @notice How an answer was checked, the weakest first.
    enum Label {
        None,
        /// Only a worker's signature stands for it.
        Asserted,
        /// Statistics speak for it.
        Measured,
        /// Several workers of different operators found the same.
        Agreed,
        /// Genuine hardware evidence.
        Attested,
        /// Another machine computed the same bits.
        Replayed,
        /// A proof, or the ledger's referee decided.
        Proved
    }

    /// @notice A page of the web, as workers of the network saw it. An answer to `fetch` is
    /// `abi.encode(page)`.
    struct Page {
        /// What the server said: 200 to 599. A redirect is not followed.
        uint16 status;
        /// When it was asked, in seconds since 1970, by the worker's clock.
        uint64 time;
        /// Of the body, in small letters and without parameters; empty where it is unknown.
        string mediaType;
        /// Where a redirect leads; otherwise empty.
        string location;
        /// The network kept only the beginning of the body, or nothing of one of a type that
        /// it does not keep. What follows is of what it kept.
        bool cut;
        /// SHA-256 of the content; 0 where text was asked for and the page has none.
        bytes32 digest;
        /// The body with its compression undone, or the text. Empty where it is longer than the
        /// gateway's offer takes, 4 KiB at most: then the digest stands for it.
        bytes content;
    }

    /// @notice A request, without its answer.
    struct Request {
        Status status;
        /// Who asked, paid and gets back what was not used.
        address payer;
        /// Who sells the answer.
        address gateway;
        /// Who is called back, with how much gas, at which price of a unit of gas.
        address callback;
        uint64 callbackGas;
        uint256 callbackGasPrice;
        /// 0 safe, 1 optimistic, 2 to 5 that many workers.
        uint8 policy;
        /// Of a page SHA-256("cantus speaker 1\0ipage/body") or the same of page/text.
        bytes32 model;
        /// The request's job in the ledger's market: its escrow, receipts and disputes.
        uint64 job;
        /// The block in which it was made.
        uint64 height;
        /// The user's text, or the page's URL, while the request is open, and afterwards only
        /// its digest.
        bytes prompt;
        bytes32 promptDigest;
        /// All 0 of a page.
        Params params;
    }

    /// @notice A request was made.
    /// @param id The request.
    /// @param model The speaker that is asked; of a page as in Request.
    /// @param payer Who asked and paid.
    /// @param job The request's job in the ledger's market.
    event Requested(uint256 indexed id, bytes32 indexed model, address indexed payer, uint64 job);

    /// @notice An answer was accepted.
    /// @param id The request.
    /// @param status Final, or Answered under the optimistic policy; FinalDigest or
    /// AnsweredDigest where the answer is too long for the ledger.
    /// @param label How the answer was checked so far.
    /// @param receipt Digest of the worker's receipt.
    /// @param answer The answer's bytes, or its SHA-256; of a page abi.encode(page).
    event Answered(uint256 indexed id, Status status, Label label, bytes32 receipt, bytes answer);

    /// @notice The callback was called.
    /// @param id The request.
    /// @param success Whether it came back without an error; what a failed one changed is
    /// undone, and the answer stands.
    /// @param gasUsed What it took of its gas, and what was therefore paid for it.
    event Called(uint256 indexed id, bool success, uint64 gasUsed);

    /// @notice A request ended.
    /// @param id The request.
    /// @param status Final, Refuted, Failed or Cancelled.
    event Concluded(uint256 indexed id, Status status);

    /// @notice Ask a model. The cheapest gateway that offers it gets the job.
    /// @dev What is above the quoted fee goes back to msg.sender at once, and what was not used
    /// partly when the request is answered and partly when its job closes: as plain payments
    /// that call no code.
    /// @param model ID of a speaker: a model's file, its vocabulary and the frame around a
    /// user's text (`cantus model show` prints it).
    /// @param prompt The user's text. The ledger keeps it: it is public.
    /// @param params How the answer is drawn.
    /// @param maxFee The most that may be spent; must be the value that is sent along. At
    /// least what `quote` says.
    /// @param callback The contract whose `onCantusResult` is called; see ICantusReceiver.
    /// The zero address for no call at all; `result` tells the answer too.
    /// @param callbackGas The gas it is called with, exactly: 25,000 or more, and 0 without a
    /// callback.
    /// @param policy 0: tell only what is settled and not refuted (safe). 1: tell at once,
    /// and again if it proves false (optimistic). 2 to 5: so many workers of different
    /// operators must find the same.
    /// @return id The request. IDs are never 0 and never used again.
    function request(
        bytes32 model,
        bytes calldata prompt,
        Params calldata params,
        uint256 maxFee,
        address callback,
        uint64 callbackGas,
        uint8 policy
    ) external payable returns (uint256 id);

    /// @notice What a request needs as its `maxFee`, in this block: the price of gas changes
    /// from block to block. It is the most that it can cost, seldom what it does.
    /// @param model ID of a speaker.
    /// @param promptBytes The prompt's length.
    /// @param maxTokens As in Params.
    /// @param callbackGas As in `request`.
    /// @param policy As in `request`.
    /// @return fee In the smallest unit; reverts where nobody offers the model on such terms.
    function quote(bytes32 model, uint32 promptBytes, uint32 maxTokens, uint64 callbackGas, uint8 policy)
        external
        view
        returns (uint256 fee);

    /// @notice Ask for a page of the web. A worker fetches it once the site's robots.txt, which
    /// it reads first, allows that; the answer is `abi.encode(page)`. All else is as with
    /// `request`.
    /// @dev A page may change between two workers: ask two or more to agree only on what stays
    /// the same for a while. A site that does not respond, that robots.txt closes to
    /// crawlers, or that is not on the public internet, is never answered, and the request
    /// fails in its time.
    /// @param url http:// or https://, the host in small letters, a path that begins with a
    /// slash and goes through neither . nor .., what is not ASCII as %XX or in Punycode, no
    /// fragment: at most 2,048 bytes. The ledger keeps it: it is public.
    /// @param text Whether the text of the page is wanted, which HTML and plain text have, or
    /// its body.
    /// @param maxFee As in `request`; at least what `quoteFetch` says.
    /// @param callback As in `request`.
    /// @param callbackGas As in `request`.
    /// @param policy As in `request`. Under 2 to 5 so many workers must have seen the same
    /// but for the time, which is then the first one's.
    /// @return id The request.
    function fetch(
        string calldata url,
        bool text,
        uint256 maxFee,
        address callback,
        uint64 callbackGas,
        uint8 policy
    ) external payable returns (uint256 id);

    /// @notice What a `fetch` needs as its `maxFee`, in this block.
    /// @param text As in `fetch`.
    /// @param urlBytes The URL's length.
    /// @param callbackGas As in `fetch`.
    /// @param policy As in `fetch`.
    /// @return fee In the smallest unit; reverts where nobody offers pages on such terms.
    function quoteFetch(bool text, uint32 urlBytes, uint64 callbackGas, uint8 policy)
        external
        view
        returns (uint256 fee);

    /// @notice A request's answer.
    /// @dev It may be read whether or not the callback succeeded. The answer is empty before
    /// it may be seen, and after it was refuted.
    /// @param id The request.
    /// @return status Where it is in its life.
    /// @return answer The answer's bytes, or its SHA-256; of a page abi.encode(page).
    /// @return label How it was checked.
    /// @return receipt Digest of the worker's receipt.
    function result(uint256 id)
        external
        view
        returns (Status status, bytes memory answer, Label label, bytes32 receipt);

    /// @notice A request, without its answer.
    /// @param id The request.
    /// @return The request; its status is None where there is no such one.
    function requestOf(uint256 id) external view returns (Request memory);

    /// @notice Take back an open request. Only who paid for it may, and no callback follows.
    /// @dev Work that is under way is still paid out of the escrow.
    /// @param id The request.
    /// @return refund What was paid back with this call; the escrow's rest follows when the
    /// job is closed.
    function cancel(uint256 id) external returns (uint256 refund);

    /// @notice Bring a request's answer. Anybody may who has the evidence; who does is paid
    /// the delivery fee, and for the callback's gas.
    /// @dev Only by a transaction of an ordinary account straight to this address: a contract
    /// in between could take from the callback what it needs.
    /// @param id The request.
    /// @param evidence cantus.requests.v1.Evidence: receipts with their proofs, the task, the
    /// result and the spelling of their tokens, or of a page the results and its content.
    function deliver(uint256 id, bytes calldata evidence) external;

    /// @notice End a request whose time has come: an optimistic answer that settled, or
    /// proved false; a request whose job ended without an answer. Anybody may.
    /// @dev Only by a transaction of an ordinary account straight to this address.
    /// @param id The request.
    function conclude(uint256 id) external;

    /// @notice Who registered an artifact, and where it comes from.
    /// @param cid The artifact's CID, version 1 in base32.
    /// @return owner Its owner.
    /// @return job The job that made it; 0 when the network didn't.
    /// @return license Its licence, an SPDX expression.
    /// @return revoked Whether its owner has withdrawn it.
    function origin(string calldata cid)
        external
        view
        returns (address owner, uint64 job, string memory license, bool revoked);

    /// @notice How an artifact was checked.
    /// @param cid The artifact's CID, version 1 in base32.
    /// @return Its trust label; None when the network did not make it.
    function label(string calldata cid) external view returns (Label);

    /// @notice Whether something that an artifact was made from was withdrawn.
    /// @param cid The artifact's CID, version 1 in base32.
    /// @return True also where its ancestry is too large to look through in one call.
    function isTainted(string calldata cid) external view returns (bool);
}
