// Package kernel has the fast forms of exact's dot products: over weights packed for the
// cache, over pages of keys and over pages of values. Each exists as portable Go
// and as AVX2 assembly for amd64, one also with AVX-512's VNNI, and all give the same bits as
// package exact, because
// every sum that they take fits the integers that they take it in (exact.ActBits,
// exact.HeadBits), so the order does not matter. A fuzz target holds one against the other.
//
//	kernel.go     Kernel: the four functions; Forms, Best, Portable
//	matrix.go     Matrix: packed weights and their product with activations
//	portable.go   the Go form
//	kernel_avx2_amd64.s  the assembly; generated from avogen/main.go, see there
//
// The layouts:
//
//	weights   panels of 8 rows; within a panel, for every 16 columns, 16 bytes of each row
//	keys      [32][head] int16, head rounded up to 16
//	values    [16][head][2] int16: the two positions of a pair lie side by side
package kernel
