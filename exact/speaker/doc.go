// Package speaker says how text and tokens of one model belong together, briefly enough for
// a ledger to check it. A contract gives a question as text and wants its answer as text;
// a worker signs for tokens. A Speaker is the model's root, the root of a tree over what
// each of its tokens spells, and the tokens around a question; its ID is what contracts
// call the model by. Whoever has the model's file computes the same ID, so nobody has to
// register it.
//
// With a Speaker alone one can check that tokens are a text (Prompt) and what text tokens
// are (Answer), if the tokens that occur are shown against the tree (Spelling). Which of
// several ways to spell one question was taken stays with whoever asked the worker.
//
// # Map
//
//	speaker.go   Speaker: its encoding and its ID
//	check.go     Prompt, Answer, Task: what tokens say, and what a request asks
//	spelling.go  Spelling: what some tokens spell, shown against the vocabulary
//
// Package voice makes what this one checks.
package speaker
