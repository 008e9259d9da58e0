// Package crawl is the kind crawl/1: public web pages, fetched politely, kept as WARC
// records, and checked by fetching again.
//
// # Map
//
//	kind.go     Kind, New: the work.Kind; Check and Meter
//	record.go   Spec: what a buyer asks for; what travels otherwise is in package page
//	limits.go   every bound in one place
//	check.go    when a spec is valid, and when a record can answer a task
//	errors.go   the classes of exchanges that came to nothing
//	execute.go  Execute: one exchange to a record
//	client.go   one HTTP/1.1 exchange over the worker's guarded dialer
//	pool.go     connections kept for the next exchange
//	body.go     bodies: limits and content codings
//	derive.go   what a record says, as a pure function of the bytes
//	recheck.go  Answer, Recheck: a record held against its task and its blob
//	sitemap.go  sitemaps and their indexes
//	verify.go   Verify: an auditor's finding
//	spoil.go    Spoil: a page that the server never had, for plants; spoil_words.go its words
//	compare.go  whether two fetches of an address are of the same page
//	own.go      Own: a gateway's own door to its live jobs; Content
//	live.go     the plan of a live job; live_hosts.go what live jobs know of hosts
//	plan.go     Plan: a job's tasks, from its seeds and from what was found
//	outcome.go  what a plan makes of each result
//	scope.go    which addresses belong to a job
//	counts.go   figures that add up
//
//	weburl/     one spelling for every address
//	robots/     robots.txt
//	frontier/   the queues: what has been seen, what is next, when a host may be asked
//	text/       what a page says
//	warc/       the records on disk
//	dataset/    what a buyer gets
//	local/      the same crawler in one process, without the network
//
// # One task, one exchange
//
// A task is one request and its response. Redirects, retries, robots.txt and sitemaps are
// tasks of their own, so that scope, pace and robots.txt hold for each of them and every
// exchange has its receipt. An exchange with a response costs one unit, whatever the
// status; without one it costs nothing.
//
// # What is kept
//
// Bodies of the media types in Keeps are kept up to the spec's MaxBytes; longer ones are
// cut there and say so. Of other types only the head is kept, and the record says that it
// is truncated. A page that asks not to be indexed is fetched, because only then it can
// say so, but is no part of the dataset.
//
// # Live jobs
//
// The tasks of a job with scope live come one by one by its gateway's own door, as contracts
// ask for pages. They are as polite as a crawl: robots.txt first, by a worker, and one pace
// for all live jobs of a gateway. A redirect is an answer there; nobody follows it.
package crawl
