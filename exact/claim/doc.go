// Package claim is what an answer claims: a Task, what was asked of which model, and a
// Result, what came of it. By package exact's arithmetic a Task has one Result (unless its
// client hung up), so the two together are true or false, and whoever holds the model can
// find out which.
//
// Both have one encoding: canonical CBOR of an array, lists of numbers as byte strings of
// varints. A decoder takes exactly what the encoder gives, so a digest covers one meaning.
//
// # Map
//
//	task.go    Task: the model's root, the prompt, how tokens are drawn, when to end
//	result.go  Result: tokens, why they end, their probabilities; or an embedding
//	encode.go  the one encoding of both
package claim
