// Package gateway is the buyers' and workers' door to the network: it binds the plane, the
// scheduler and the artifact store together behind one HTTP address.
//
//	gateway.go   Config, New, Run, Close
//	handler.go   what the plane calls: the scheduler, and a token for the artifact store
//	routes.go    the routes, and the way from a request to a reply or an error
//	jobs.go      /v1/info, /v1/specs, /v1/jobs…
//	artifacts.go /v1/artifacts: workers put with a token, anybody who knows a digest gets
//	upload.go    what an upload holds, and how much memory uploads take
//	token.go     tokens that bind an upload to an enrolled worker
//	limit.go     how much one client may ask
//	guard.go     which jobs the scheduler gets to see
//	health.go    /healthz, /readyz
//	drain.go     stopping in order
//	admin.go     the operator's own door
//	cells.go     /v1/cells
//
// Types and a client are in gateway/api. The gateway holds two keys: its node key, which
// signs vouchers, and, behind Config.Ledger, the account that its transactions are sent by.
package gateway
