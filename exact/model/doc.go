// Package model runs transformers of the Llama family with package exact's arithmetic:
// Llama, Mistral, Qwen2 and 3, SmolLM. What it computes for a position depends on the
// model and the tokens up to there, and on nothing else: not on the batch, the threads,
// the pages, nor on whether the tokens came one by one or together. So a prompt's prefill
// gives the very bits that decoding gave, which is what an audit rests on.
//
// # Map
//
//	file.go      the names of package modelfile: Config, Root, Layout, Prove
//	artifact.go  Write, Load: the file of a model
//	weights.go   Model: the loaded weights
//	cache.go     Cache, Sequence: pages of keys and values, shared between equal prefixes
//	forward.go   Runner: the forward pass of some rows, each a token of a sequence
//	attend.go    attention of one row
//	observe.go   Observer: every stage of a pass, for disputes
//	threads.go   the pool of goroutines that a Runner computes with
//	replay.go    Replay, Redraw: an answer computed again, many tokens in a pass; Embed
//	engine.go    Engine: continuous batching of concurrent requests
package model
