// Package contracts holds what contracts and the ledger agree on: the ABI of ICantus, as the
// compiler wrote it from src/ICantus.sol. Beside it lies the npm package @cantus/contracts,
// which Solidity projects install.
//
//	src/         the interface, CantusClient to build on, a mock for tests
//	examples/    a bounty that a model judges, a treasury whose votes a model sums up, a notary
//	             of web pages
//	abi/         ABIs, written by compile.mjs (make gen)
//	test/        tests of all that, and the hostile contracts of the ledger's tests
package contracts

import _ "embed" // for the ABI

//go:embed abi/ICantus.json
var iCantus []byte

//go:embed abi/ICantusReceiver.json
var iCantusReceiver []byte

// ICantus is the ABI of the precompiled contract.
func ICantus() []byte { return iCantus }

// ICantusReceiver is the ABI of what it calls back.
func ICantusReceiver() []byte { return iCantusReceiver }
