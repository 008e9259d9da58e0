// Package exact is neural-network arithmetic with one answer: integers only, every
// rounding specified, no result that depends on the machine, the number of threads, the
// batch or the order of a sum. A worker computes with it, an auditor replays it, and the
// ledger recomputes one small step of it when they disagree. docs/exact.md specifies every
// function to the bit, so that somebody can write a second implementation.
//
// The functions here are the definition: plain loops over slices, no state, no goroutine,
// nothing of the machine. Package kernel has the fast forms of those that cost the time,
// and package model puts them together.
//
// # Map
//
//	fixed.go      Round, To32, Quantise: shifts that round, conversions that saturate
//	scale.go      Scale: a positive factor as 24-bit integer and power of two
//	linear.go     ActBits, Dot, Requantise, Linear, Embed: int8 weights × block activations
//	norm.go       Norm: RMSNorm by integer square root
//	rotary.go     SinCos, Rotate: rotary positions from angles in 2⁻⁶⁴ turns
//	attention.go  Score, Exp2, Weight, Weights, Mix: one query against many keys
//	gate.go       Sigmoid, Gate: the SiLU-gated product
//	log.go        Log2: of a 64-bit integer
//	sample.go     Noise, Sampler: Gumbel-max with noise from (seed, position, token); and its
//	              parts for who sees some logits at a time: Cost, Mass, Reaches, Share, LogOf
//	tables.go     the tables, each entry the nearest integer to a formula
//
// # Formats
//
//	wide    int32 with 16 fraction bits, saturating: residuals, queries, gates, logits
//	block   int16 mantissas and one exponent: what a matrix is multiplied with, keys, values
//	weight  int8 in [-127, 127] with a Scale for each output row
//	angle   uint64, in units of 2⁻⁶⁴ turns; it wraps exactly
//
// Nothing here panics on values; slices of the wrong length are the caller's mistake and
// panic as any index does. Callers that take shapes from outside check them first.
package exact
