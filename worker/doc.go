// Package worker is the machine that does the network's tasks. It connects outward to its
// gateways, leases tasks from one of them, runs them with the kinds that it was given,
// uploads what came out, signs receipts and keeps the vouchers that it gets for them. As an
// auditor it checks receipts of others. It holds a node key and no funds, and links nothing
// of the ledger.
//
// # Map
//
//	config.go    Config: what a worker needs and its limits
//	worker.go    New, Run: the life of a worker, and how it stops
//	choice.go    which gateway it leases from now
//	link.go      what it has with one gateway: session, journal, reporter, audits
//	cells.go     where it belongs at a gateway that has cells
//	session.go   finding a gateway, logging in, the token for the artifact store
//	lease.go     keeping sessions, asking for work, and when
//	execute.go   a bundle's tasks, one after the other, with every limit on the kinds
//	stream.go    parts of results, for whoever waits for them
//	blobs.go     the artifact store that a kind sees while it runs
//	report.go    from a finished task to a voucher: journal, report
//	upload.go    and before that: upload, sign, or keep on disk
//	pay.go       is the voucher worth what was done
//	audit.go     checking others' receipts: verdicts, commitments, reveals
//	eye.go       looking at the ledger: are the verdicts there
//	drawn.go     audits at gateways that it has no link with
//	owed.go      and is the pay: proofs, challenges, claims
//	bearings.go  where the ledger is, and sending to it
//	advocate.go  disputes on the ledger: which, whose turn it is, which first
//	moves.go     what the worker says in them, and when it disputes something itself
//	traces.go    the traces that this takes: few at a time
//	doubt.go     what is kept of a receipt that was found false
//	journal.go   the file that survives kill -9
//	state.go     what the journal remembers
//	unscored.go  records of earlier versions
//	spool.go     blobs on the worker's own disk, within a quota
//	budget.go    bytes of results in memory, within a budget
//	netguard/    which addresses kinds may dial
//	witness/     the ledger over REST, and transactions of the worker's own
//	cli/         the commands: key, start, vouchers
//
// # One worker, many links
//
// The Worker has what is shared: the key, the kinds, memory, disk, slots. A link is what it
// has with one party, a gateway or a cell of one, and nothing of one link goes to another.
// There is a session with every gateway, but only one is leased from at a time. A party that
// the worker has left, or that an earlier run left, is wrapped up: it is told what it must
// still be told, and its audits are answered.
//
// # What is never lost
//
// A finished task goes through four steps: its blobs are uploaded, its signed receipt is
// written to the journal and synced, the receipt is reported, and the gateway's voucher
// is written to the journal. After a crash the worker reports again what the journal has
// without a voucher; nothing is fetched or computed a second time for it. If the gateway
// can't take the upload, the blobs are kept on disk and the receipt journalled at once,
// and uploading goes on after a restart. A crash can cost what no step had been taken for:
// the tasks that were being done.
//
// # Disputes
//
// Where the ledger decides what receipts are false, the worker speaks for itself there. If a
// receipt of its is disputed it names its trace, goes down it and has the step decided. What
// it found false as an auditor it proves. A dispute's state is on the ledger and each move
// follows from that, so nothing of it is kept, but for the bodies of what was found false: from
// before the verdict is sealed until somebody has disputed it. A worker whose own trace
// contradicts its receipt computes it once more to be sure, and then says nothing: it loses the
// dispute either way, and this one costs nothing besides. Nor does an auditor dispute what its
// trace finds true, or say of a receipt what can't be proved to the ledger.
//
// # Whom it trusts
//
// Not the gateway: a voucher must be signed by the gateway's key and cover at least every
// accepted receipt of the job. If it doesn't, the worker leases nothing more from it and says
// so in its log and metrics until a right one comes; Vouchers shows what to claim with. What
// the gateway commits is compared with the vouchers on the ledger, if there is one to look at,
// whose node is trusted for what it says.
// Least a gateway that its owner never named. It goes there only when the ledger says that it
// was drawn as an auditor there, under the key that the ledger has, and to public addresses
// alone; it leases nothing, and says that it is unsure where it is shown nothing.
// Not the kinds: one that panics, hangs, or returns too much loses its task, nothing else.
// Not the tasks: what a kind dials goes through netguard.
package worker
