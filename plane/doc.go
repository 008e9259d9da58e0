// Package plane is the session bus between one gateway and its workers: requests from
// workers, replies from the gateway, and nudges. Nothing else travels on it; bulk bytes
// go through the artifact store.
//
// # Map
//
//	wire.go      the messages
//	check.go     what makes a message acceptable, before anybody acts on it
//	errors.go    Error: what a refused request gets back
//	subjects.go  who may publish and subscribe to what
//	challenge.go what a worker signs to log in
//	server.go    Listen, Server: the gateway's end
//	dispatch.go  from a message to the Handler and back, with every limit on the way
//	sessions.go  who is connected
//	tls.go       certificates, and which addresses may go without
//	client.go    Dial, Client: the worker's end
//
// # How it works
//
// The server is an embedded NATS server without persistence, clustering or headers. A
// worker connects outward over TCP or WebSocket, proves with its node key that it is
// who it says (see challenge.go), and the ledger, through Config.Authorize, says whether
// that key is enrolled. From then on the connection may publish to the worker's own four
// request subjects and subscribe to its own inbox and nudge subject, and to nothing else.
// The server finds the sender in the subject, so a request can't lie about it, and it
// refuses a request that asks for its reply anywhere but in the sender's own inbox.
//
// A worker has few requests in flight at a time and a rate. Whoever exceeds them gets
// ErrBusy with a time to wait; whoever keeps on is disconnected for a while. The server
// never waits for a slow worker: what doesn't fit in its connection's buffer is dropped,
// and the worker asks again.
//
// Every request may be sent again: Hello and Lease change nothing that a worker relies on,
// and Done is idempotent.
package plane
