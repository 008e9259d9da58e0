// Package warc writes and reads the crawl's exchanges as WARC 1.1 records (ISO
// 28500:2017).
//
// # Map
//
//	exchange.go  Exchange: one HTTP exchange; Build and Parse turn it into three gzip
//	             members (request, response, metadata) and back
//	head.go      PlainHead: a response's head as it must be when the body is stored plain
//	record.go    Field, Record: one record of any type, its fields, its identifier
//	reader.go    Reader: the records of a whole file, bounded and strict
//	writer.go    Writer: whole files, rotated by size, each with its warcinfo
//
// # What is stored
//
// A body is stored with its transfer and content codings undone, so that every tool can
// read it and its digest is the one in the receipt. The head then says so: the fields
// that spoke of the codings keep their values under names with the prefix X-Crawler-.
//
// Every byte of a record follows from its Exchange: identifiers are derived from the
// content, dates come with the exchange. Parse refuses records that are not exactly what
// Build would have written, so a changed byte is always seen. Only the compression is
// free, and that is covered by the digest of the blob.
package warc
