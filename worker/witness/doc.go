// Package witness is a worker's own eye on the ledger: it reads the market's records from
// a node's REST interface and sends the few transactions that a worker may need to send
// without its gateway. It links nothing of the ledger; what it encodes by hand is compared
// with the ledger's own codec by a test beside the command line.
//
//	rest.go     Ledger: nodes, requests, their limits
//	records.go  jobs, epochs, gateways and claims, strictly read
//	account.go  the worker's account: a key that holds no funds
//	message.go  the messages, as protobuf
//	send.go     from messages to a block
//
// A node is trusted for what it says. Whoever does not trust one runs their own, or names
// several: a worker asks the first that answers.
package witness
