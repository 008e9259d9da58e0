// Package archtest holds the house rules of this repository as tests: who may import
// whom, and what code that runs in consensus may not do. It reads the source files
// itself, so that the go command's test cache notices when one of them changes.
//
//	source.go     Load: the module's packages, parsed
//	layers.go     who may import whom
//	consensus.go  what makes two validators disagree
//	hygiene.go    names, sizes, doc comments
//
// A rule is a function from the parsed module to its violations. Each is tested twice: on
// a small module that breaks it, and on this one, which must not.
package archtest
