// Package referee decides who of two parties is right about an answer, by computing one
// small step of it: a few numbers, from inputs that both parties agree on and from pieces
// of the model's file. It is what a ledger runs, so it is pure and small: no engine, no
// floating point, no goroutine, no clock, and nothing that the machine has a say in.
//
// Everything that is computed for an answer is a list of tiles, its trace, in an order in
// which each tile follows from earlier ones, from the model and from the task (teacher-
// forced: the token at each position is the one that the result says). The root of a hash
// tree over the tiles commits to all of them. Two parties with different roots find the
// first tile that they differ on by showing each other the nodes below the first one that
// differs, sixteen at a time. Whatever lies before that tile, both agree on; so whoever
// opens those inputs against the agreed nodes lets the referee compute the tile.
//
// # Map
//
//	case.go      Case: an answer in dispute; Node, Parent: the tree that the game descends
//	geometry.go  Stage, Place: which tile holds what, and how long each is
//	bounds.go    Disputable: which models have openings that are small enough
//	rule.go      rule: for a tile, which tiles and pieces it follows from
//	layer.go     the rules of a layer
//	attend.go    the rules of attention
//	draw.go      the rules of drawing a token
//	tile.go      how numbers lie in a tile
//	opening.go   Wanted, Decide, Contradicts: what an opening holds, and the ruling
//
// docs/exact.md specifies the trace to the bit.
package referee
