// Package measured is the kind infer-measured/1: answers of foreign inference servers, such
// as vLLM or llama.cpp, whose arithmetic differs a little from machine to machine. Nobody can
// replay them to the bit, so they are measured: another worker with the same model finds out
// how far an answer lies from what it would have said itself, and a test that adds up many
// answers tells a worker with a worse model from the noise of honest ones. One answer never
// convicts anybody.
//
// # Map
//
//	backend.go     Backend: what serves a model; HTTP, a client of OpenAI-compatible servers
//	request.go     one request to a server: bounds, time limits, errors
//	parse.go       what servers say about tokens, in three dialects
//	draw.go        Draw: the token that the committed seed takes of the likeliest ones
//	generate.go    Generate: an answer from a Backend's greedy streams
//	measure.go     Measure: how far an answer lies from what an auditor's backend says
//	calibrate.go   Calibrate: what honest noise looks like; Calibration.Score
//	sequence.go    Sequence: the test over many answers
//	descriptor.go  Descriptor: a model as buyers order it here; its digest is its name
//	honest.go      Honest: runs to calibrate with
//	shelf.go       Shelf: descriptors of a machine, and infer.Models that knows them
//	evidence.go    Evidence: what an auditor saw, from which anybody gets the same score
//	serve.go       Serve: a worker's inference server, by its flags
//	kind.go        Kind: the work.Kind
//	files.go       files that are written whole
//
// # What an answer commits to
//
// Task.Body is a claim.Task and Result.Body a claim.Result, as in infer/1, and tabs, API keys
// and routes are those of infer/1. Two things differ. Task.Model is the digest of a
// Descriptor instead of a model file's root, so that an answer of this kind can't be taken
// for one that can be replayed. And each task asks for the Top likeliest tokens at each place,
// which the receipt thereby commits to before anybody knows what will be audited.
//
// The committed seed decides: at each place the answer has the token that Draw takes of the
// committed alternatives. Anybody can check that without a model (Check), and so all that is
// left to lie about is the alternatives, which an auditor computes again, teacher-forced, and
// compares in two ways: how much worse than the token that its own alternatives give is the
// one in the answer, and how far are the probabilities.
package measured
