// Package types holds the register's messages, records and parameters, and what can be
// checked of them without the ledger's state.
//
//	check.go     what an artifact may say
//	msgs.go      ValidateBasic of each message
//	params.go    the rules and their defaults
//	genesis.go   a whole register
//	expected.go  what the module needs of others, and what it offers to x/work
//	errors.go    errors, by codespace and code
//	events.go    events
//	keys.go      the store's prefixes
//	codec.go     registration for signing
//	*.pb.go      generated from proto/cantus/lineage/v1
package types
