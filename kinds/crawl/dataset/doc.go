// Package dataset turns a settled crawl into a directory that an outsider can check.
//
// # Map
//
//	write.go    Write: DIR from a Source and a Meta
//	stage.go    how DIR comes into being at once, whatever is interrupted
//	source.go   Source, Meta: what Write reads
//	manifest.go dataset.json: every file's digest, the job, what was asked for and what came
//	entries.go  receipts and records.zst: one entry for each receipt, framed
//	chain.go    from entries to epochs: trees, pay, roots
//	derive.go   from an entry and its blob to what they amount to
//	exclude.go  entries that amount to nothing, and why
//	plants.go   receipts that the gateway planted
//	row.go      Row, Counts: a page, and what became of all of them
//	pages.go    pages.parquet, byte for byte
//	cdxj.go     index.cdxj
//	sort.go     lines in order, whatever their number
//	order.go    many things at once, their results in order
//	verify.go   Verify: everything that can be checked, with and without the ledger
//	verify_pages.go  exchanges, rows and index, side by side
//	ledger.go   LedgerView: what only the ledger can tell
//	report.go   Report: what was checked and what failed
//
// # What is in DIR
//
//	warc/*.warc.gz     every exchange with a response: request, response, metadata
//	index.cdxj         where each response is, by sorted URL
//	pages.parquet      one row for each page that was asked for
//	receipts           every signed receipt of the settled epochs, with its task
//	records.zst        what each receipt signs: the results' bodies, in the same order
//	rejected/*         blobs that are not what their receipt's record says
//	excluded.json      which receipts have neither exchange nor row, and why
//	plants.json        which of them the gateway had planted, and the ledger's word opened
//	spec.cbor          the job's spec, which every task's digest covers
//	dataset.json       the digests of all these; its CID is the dataset's
//	lineage.dsse.json  a signed statement of where the dataset comes from
//
// The receipts are leaves of the trees whose roots the ledger holds; each signs the digest
// of a record; each record names the digest of its exchange in the WARC files; and
// pages.parquet and index.cdxj follow from these. So one signature on the ledger's
// side fixes every byte of text, and Verify walks the whole way.
//
// Pages that ask not to be indexed have their receipt and record here, as the trees
// need them, but no exchange and no row. A receipt whose exchange does not give its record
// has no row either: it is listed in dataset.json, and the blob kept as evidence.
//
// Write is deterministic: the same job gives the same directory, byte for byte but for
// the signature, so that buyer and gateway arrive at the same CID by themselves.
package dataset
