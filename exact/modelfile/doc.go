// Package modelfile is the file of a model, seen from outside: where in it things lie, and
// how pieces of it are shown against its root. It computes nothing with a model, so who
// only has to check a piece of one, a referee, needs this and not the engine.
//
// # Map
//
//	config.go  Config: shapes and constants, all integers, with their bounds
//	layout.go  Layout: where in a file a row of a matrix lies
//	head.go    Head: what the beginning of a file says, shown against the root
//	tree.go    Tree, Root, Proof: the root of a file, one piece shown against it
//	prover.go  Prover: many pieces shown at once; Pieces: those that some spans touch
package modelfile
