package dataset

import (
	"context"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/work"
)

// Source is where a settled job's results are.
type Source interface {
	// Receipts calls f with every receipt of the job's settled epochs, sorted by epoch
	// and then by the index in its tree, until f returns an error, which it returns.
	Receipts(ctx context.Context, f func(Receipt) error) error
	// Blob returns a blob, verified against its digest. More than max bytes are refused.
	Blob(ctx context.Context, d artifact.Digest, max int64) ([]byte, error)
}

// Receipt is one leaf of an epoch's receipts tree and the task that it answers.
type Receipt struct {
	Epoch, Index uint64
	Signed       []byte // the canonical encoding of a work.SignedReceipt
	Task         []byte // the task's body
}

// Meta is what the ledger says of the job.
type Meta struct {
	Chain  string
	Job    work.Job
	Spec   []byte
	Epochs []work.Epoch // the settled ones, by number
	// Plants are those of the epochs that had a commitment to them, in any order.
	Plants  []work.Plants
	License string // an SPDX expression, for what the dataset adds: each page has its own
	Tool    string // name and version of the program, for the WARC files
	// MaxWARC is the size at which a new WARC file is begun; 0 stands for warc.MaxFile.
	MaxWARC int64
	// Signer signs the statement of lineage: the buyer, or the job's gateway.
	Signer artifact.Signer
}

// Progress is how far Write or Verify is.
type Progress struct {
	Stage       string // "receipts", "pages", "files"
	Done, Total uint64 // receipts, or bytes of files
}
