// Package artifact is how Cantus names, keeps and vouches for bulk data: pages, archives,
// datasets, models, answers. It knows nothing of jobs, workers or the ledger and links no
// code of theirs, so that an outsider's verifier can be this package alone.
//
// # Map
//
//	digest.go     Digest: a blob's SHA-256, its address in every Store
//	cid.go        CID, ParseCID: the same address as other networks' tools read it
//	store.go      Store: keeps blobs by digest; the limits and errors of all stores
//	fs.go         FS: a Store in a directory, one file for each blob, crash-safe
//	fs_list.go    what an FS holds, and how to be rid of it
//	memory.go     Memory: the Store that tests use
//	verify.go     VerifiedReader: a stream that fails if its bytes were changed
//	canonical.go  Canonical: one JSON encoding for each value (RFC 8785)
//	manifest.go   Manifest: the files that make up one artifact
//	name.go       what a file in a manifest may be called
//	statement.go  Statement, Lineage: what an artifact came from (in-toto)
//	envelope.go   Envelope, Signer, Verifier: who says so (DSSE)
//
// httpstore is a Store behind HTTP; artifacttest holds the suite that every Store passes.
//
// # From bytes to a claim
//
// A blob is addressed by its Digest. A Manifest lists the blobs of one artifact as files;
// it is itself a blob, and its CID is the artifact's name. A Statement says what that
// artifact was made from and by which job; signed in an Envelope it is a blob once more,
// whose digest the ledger records beside the CID.
//
// Everything that this package decodes is taken to be hostile: sizes are bounded before
// anything is allocated, one value has one encoding, and a manifest can't name a file
// outside the directory that it is checked against.
package artifact
