// Package convert makes model files of GGUF files and of directories with safetensors.
//
// It meets floating point, because its input is made of it, but rounds only in integers:
// elements are read as exact float64 values, taken apart into integer and exponent, and
// from there on all is integer; constants such as rotary frequencies are computed with
// 256-bit arithmetic (math/big). So a conversion gives the same file on every machine, and
// whoever has the original can check that a model is made of it.
//
//	quantise.go    rows to int8, gains, biases
//	constants.go   rotary frequencies, the scale of scores
//	gguf.go        FromGGUF
//	directory.go   FromDir: config.json, *.safetensors, tokenizer.json or tokenizer.model
//	vocab.go       vocabularies of GGUF, hfvocab.go of the others
package convert
