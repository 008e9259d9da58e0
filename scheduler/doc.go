// Package scheduler is a gateway's memory and judgement: it takes the jobs that name the
// gateway, asks their kinds for tasks, leases these to workers, checks and counts what
// comes back, commits it to the ledger epoch by epoch, and sees every epoch through its
// audits to its settlement.
//
// # Map
//
//	config.go    Config, Open, Close
//	ledger.go    Ledger: what the scheduler needs of the chain; cmd implements it
//	handler.go   Hello, Lease, Done: what the plane calls for a worker
//	lease.go     which tasks a worker gets: fairness, budget, deadlines
//	standing.go  who may hold how much of a job: probation, operators, networks
//	score.go     what a worker's word was worth here so far
//	bundle.go    tasks that are out or wait to be leased anew; expiry
//	done.go      receipts become units, exactly once, durable before a voucher is signed
//	verify.go    checking receipts on all cores
//	plant.go     receipts known to be wrong, to see whether auditors look
//	number.go    the tasks' numbers
//	audit.go     orders to auditors, their verdicts and reveals
//	job.go       one job's state and its phases
//	stream.go    parts of results that somebody waits for; what tasks require of workers
//	plan.go      a kind's plan and its part of the database
//	run.go       one job's loop against the ledger: seal, commit, open, relay, finish
//	epoch.go     sealed epochs, their trees and proofs
//	drain.go     sealing before a stop
//	backup.go    copies of the database, and what a restored one may do
//	claim.go     claims for workers, answers to challenges
//	watch.go     the loop that follows the chain and takes up jobs
//	worker.go    workers: the ledger's record of them, and how they are doing here
//	progress.go  what people see; Subscribe
//	export.go    receipts and proofs for outsiders
//	clock.go     a clock that does not go back
//	store.go     the database: batches, durability, the disk running full
//	migrate.go   databases of earlier versions
//	keys.go      where each record lies in it
//	record.go    how each record is written
//	metrics.go   Prometheus
//
// # What survives
//
// All state is in one Pebble database. A lease, the plan's own writes that go with it, a
// receipt, the units that it earned and the plan's writes that follow from it are each one
// batch. A reply leaves only when its batch has reached the disk; batches of many workers
// share one fsync. What the ledger is told was on the disk before: an epoch is sealed (no
// receipt enters it any more), its roots are written with all that they depend on, and then
// it is committed, so that a scheduler that died in between sends the same commitment again.
//
// # An epoch's life here
//
//	open      receipts enter it; vouchers name it
//	sealed    its receipts, in the order of their tasks with those of workers on probation
//	          first, its plants and the cumulative pay are fixed
//	committed the ledger has its roots; then drawn, opened, audited there
//	decided   its plants are shown; then settled
//
// # Locks
//
// A job's mutex guards its plan, tasks and accounts; nothing waits for a disk or a network
// while holding it, but what the plan itself reads. A worker's mutex may be taken under a
// job's, never the other way round. Scheduler.mu guards the maps and is held for look-ups
// only.
package scheduler
