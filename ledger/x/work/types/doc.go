// Package types holds the messages, the state and the rules of the work market that
// need no store: what a valid message is, what a valid parameter set is, which places
// of the roster are asked for auditors.
//
// The *.pb.go files are generated from proto/cantus/work/v1 by internal/protogen.
//
//	params.go    DefaultParams, DevnetParams, Params.Validate
//	msgs.go      ValidateBasic of every message
//	disputes.go  the checks of disputes and their messages
//	measured.go  what scores of many samples come to
//	check.go     the checks that messages and genesis share
//	convert.go   proofs and roots as package work verifies them; sums of a job
//	roster.go    Probe: which active workers may become a sample's auditors
//	genesis.go   an empty market, and what an imported one must satisfy
//	events.go    names of the events and their attributes
//	errors.go    the errors that clients can tell apart by their codes
//	keys.go      module and account names, store prefixes
//	codec.go     registration with the codecs
//	expected.go  what the keeper needs of other modules
package types
