// Package worker is the machine that does the network's tasks. It connects outward to one
// gateway, leases tasks, runs them with the kinds that it was given, uploads what came
// out, signs receipts and keeps the vouchers that it gets for them. As an auditor it
// checks receipts of others. It holds a node key and no funds, and links nothing of the
// ledger.
//
// # Map
//
//	config.go    Config: what a worker needs and its limits
//	worker.go    New, Run: the life of a worker, and how it stops
//	session.go   finding the gateway, logging in, the token for the artifact store
//	lease.go     asking for work, and when
//	execute.go   a bundle's tasks, one after the other, with every limit on the kinds
//	blobs.go     the artifact store that a kind sees while it runs
//	report.go    from a finished task to a voucher: upload, sign, journal, report
//	pay.go       is the voucher worth what was done
//	audit.go     checking others' receipts: verdicts, commitments, reveals
//	journal.go   the file that survives kill -9
//	state.go     what the journal remembers
//	spool.go     blobs on the worker's own disk, within a quota
//	budget.go    bytes of results in memory, within a budget
//	netguard/    which addresses kinds may dial
//	cli/         the commands: key, start, vouchers
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
// # Whom it trusts
//
// Not the gateway: a voucher must be signed by the gateway's key and cover at least every
// accepted receipt of the job. If it doesn't, the worker leases nothing more and says so
// in its log and metrics until a right one comes; Vouchers shows what to claim with.
// Not the kinds: one that panics, hangs, or returns too much loses its task, nothing else.
// Not the tasks: what a kind dials goes through netguard.
package worker
