// Package api is a gateway's HTTP interface for buyers and outsiders: its JSON types and a
// client. Package gateway serves it.
//
//	GET  /v1/info                             Info
//	GET  /v1/cells                            []Cell
//	POST /v1/specs?kind=crawl/1               SpecReply: the body is the spec, stored by digest
//	GET  /v1/jobs                             JobList; before as query
//	GET  /v1/jobs/{id}                        Job
//	GET  /v1/jobs/{id}/events                 server-sent events, each a Job
//	GET  /v1/jobs/{id}/receipts               ReceiptPage; epoch, index, limit as query
//	GET  /v1/jobs/{id}/epochs/{n}/plants      Plants: which receipts the gateway planted
//	GET  /v1/jobs/{id}/epochs/{n}/pay         PayList; from as query
//	GET  /v1/jobs/{id}/epochs/{n}/pay/{key}   Pay: with the proof that a claim wants
//	GET  /v1/jobs/{id}/pay/{key}              Pay as of the newest settled epoch
//	GET  /v1/artifacts/{digest}               the blob
//	GET  /readyz                              Ready, with status 503 where it is not
//
// The workers' part of the artifact interface is in package artifact/httpstore. Failures
// are {"error": {"code", "message"}} with a fitting status.
package api
