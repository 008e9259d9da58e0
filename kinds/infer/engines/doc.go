// Package engines keeps the models of a machine that computes answers: loaded when they are
// first asked for, within a budget of memory, and dropped when another one needs the room
// and nobody uses them.
//
//	pool.go    Pool: which models are loaded
//	engine.go  Engine: one loaded model: answers, embeddings, answers computed again
//	room.go    room: memory for what is computed beside the answers
//
// Answers come first. What is computed beside them, embeddings and audits, has a part of
// the memory of its own and runs one at a time each; audits have half of the threads while
// answers are computed.
package engines
