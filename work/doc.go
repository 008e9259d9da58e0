// Package work is the vocabulary of the network: what is asked for, what is done, what
// is signed for it and what is checked. It has no I/O and no clock; everything in it is a
// plain type or a pure function, so that a worker, a gateway, an auditor and the ledger
// compute the same thing from the same bytes.
//
// # Map
//
//	kind.go      Kind: one sort of AI work, with Task, Result, Env and Needs
//	optional.go  what a kind may offer besides: Planner, Spoiler, Holder, Mounter
//	receipt.go   Receipt: a worker's signed claim of one finished task
//	voucher.go   Voucher: a gateway's signed promise of a worker's cumulative units
//	verdict.go   Verdict: an auditor's finding, committed before it is revealed
//	dispute.go   SignTrace: a worker names the trace of a disputed receipt
//	tree.go      Tree, Proof: Merkle sum trees over receipts and over cumulative units
//	plant.go     Plants: receipts that a gateway knew to be wrong, shown afterwards
//	cell.go      Cell: a part of a gateway; which one a worker belongs to
//	sample.go    which receipts are audited, and by whom, from the ledger's beacon
//	market.go    Job, Epoch, Worker, Gateway: the ledger's records as the others see them
//	key.go       PublicKey, PrivateKey: Ed25519 node keys
//	signature.go the rule that signatures verify by; Verifier: many at once
//	encode.go    canonical CBOR: one encoding for each value, all others refused
//	label.go     trust labels
//
// # Glossary
//
//	anote     the token's base unit, 10⁻¹⁸ note
//	attempt   how often a task was leased; a receipt names the lease it answers
//	auditor   a worker that the beacon picked to check a receipt
//	beacon    32 bytes that nobody knew when the epoch was committed
//	bundle    tasks that belong together and go to one worker, in order, at a pace
//	cell      a part of a gateway with its own workers, jobs and state
//	commit    to post an epoch's roots on the ledger
//	dispute   a claim on the ledger that a receipt is false, which the ledger itself decides
//	epoch     a numbered batch of a job's receipts, committed with two roots
//	escrow    what a buyer locked up for a job
//	gateway   plans jobs, leases tasks, collects receipts, commits epochs
//	job       a buyer's order: kind, spec, price per unit, escrow
//	kind      a sort of work that the network sells, named "crawl/1"
//	lease     a task in a worker's hands until a deadline
//	open      to show the ledger a sampled receipt with its proof
//	operator  owns workers and is paid for them
//	part      a piece of a result that is shown before the task is done
//	plant     a receipt that the gateway knows to be wrong, to see whether auditors look
//	probation a worker's first audits, at a higher rate and with less work
//	receipt   a worker's signed claim that a task has a result
//	reveal    to show what a verdict's commitment hid
//	sample    a receipt that the beacon drew
//	settle    to make an epoch final and its pay claimable
//	spec      what the buyer wants, in the kind's own encoding; known by its digest
//	task      the smallest piece of a job that is leased, receipted and audited
//	trace     a tree of hashes over every step of a computation; who disputes goes down it
//	unit      what a kind meters and a job pays for
//	verdict   an auditor's finding on a sampled receipt
//	voucher   a gateway's signature over a worker's cumulative units in a job
//	worker    executes tasks; known by its node key
package work
