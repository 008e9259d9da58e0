// Package answer is what a client gets of an answer: its steps while it comes about, and
// its Proof when it is over. Whoever has the Proof can check without a network who claims
// what (Check), and with the model whether it is true (Replay).
//
//	step.go    Step: one token of an answer
//	proof.go   Proof: the `cantus` field of an answer; Parse, Check
//	replay.go  Replay: the answer computed again
package answer
