// Package types holds what requests are made of and the rules that need no store.
//
// The *.pb.go files are generated from proto/cantus/requests/v1 by internal/protogen.
//
//	call.go      Ask, Quote, Call, Called: what the precompiled contract and the keeper say to each other
//	page.go      Form: the readers of pages; addresses, and records as answers to them
//	answer.go    Page: a page as contracts are told it
//	evidence.go  DecodeEvidence: what an answer is delivered with
//	check.go     the checks that messages, requests and genesis share
//	params.go    DefaultParams, DevnetParams, Params.Validate
//	msgs.go      ValidateBasic of every message
//	genesis.go   nothing asked yet, and what an imported state must satisfy
//	events.go    names of the events and their attributes
//	errors.go    the errors that clients can tell apart by their codes
//	keys.go      module and account names, store prefixes
//	codec.go     registration with the codecs
//	expected.go  what the keeper needs of other modules
package types
