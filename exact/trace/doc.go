// Package trace computes what package referee decides about: the tiles of an answer, the
// nodes over them that a party to a dispute shows, and the opening of the tile that a
// dispute ends at. Nobody has to keep anything while an answer is computed: it is computed
// again, many tokens in a pass, when somebody disputes it.
//
// A Tracer replays the answer once for the root and keeps a million nodes of the tree at
// most; what lies below them it computes again for the positions that are asked about.
//
// # Map
//
//	tracer.go    Tracer: the root, the children of nodes, openings
//	replay.go    passes over some positions, and where their tiles' hashes go
//	recorder.go  recorder: tiles of what a model.Runner computes
//	draw.go      tiles of the drawing of a token
package trace
