// Package infer is the kind infer/1: answers of language models, computed with package
// exact, so that an answer has one right value to the bit and whoever holds the model can
// find out whether it has it.
//
// # Map
//
//	kind.go     Kind, New: the work.Kind; Check, Meter, Holds
//	execute.go  Execute: an answer, streamed while it comes about
//	verify.go   Verify: an answer computed again
//	spoil.go    Spoil: an answer with one token changed, for plants
//	plan.go     Plan: the requests that clients make of a tab, as tasks
//	queue.go    the requests that wait, each API key in its turn
//	ask.go      one request, from the client's side
//	network.go  openai.Network: who may ask for what; limits
//	routes.go   Mount: the routes
//	own.go      Own: what the gateway itself asks, for contracts
//	metrics.go  figures
//
//	tab/      the spec of a job that pays for inference, and its API keys
//	answer/   what a client gets: steps, and a proof that can be replayed
//	engines/  loaded models of a machine, within its memory
//	openai/   the routes in OpenAI's shape
//
// # One request's way
//
// A route asks a Tab; the Plan checks the API key's limit, keeps what the request may cost
// at most in reserve, and queues it. The scheduler takes it as a task of one bundle that
// requires the model; a worker executes it and sends each token as a part, which the Plan
// gives to whoever waits. The result comes with the worker's receipt, and both are the
// answer's proof.
//
// Task.Body is a claim.Task, Result.Body a claim.Result: the ledger can open both without
// knowing this package, which is what disputes rest on.
//
// # What is kept
//
// What API keys have spent and which tasks are out is in the plan's state, written with the
// scheduler's own records of leases and receipts. Requests that wait live in memory alone:
// with the gateway their clients are gone too. Tasks that are out when a gateway starts
// anew have nobody waiting for them: they are told to stop, what was done is paid, and
// spending stays right. What the gateway itself asked is done to its end and kept.
package infer
