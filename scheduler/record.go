package scheduler

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/work"
)

// ErrCorrupt is returned for a record in the database that can't be read.
var ErrCorrupt = errors.New("the gateway's database is damaged")

// maxRecord bounds the decoding of a record; the largest is a bundle of full tasks.
const maxRecord = 32 << 20

// metaRecord says whose database this is, so that a directory that was copied to another
// gateway or network is refused before it can sign anything.
type metaRecord struct {
	_       struct{} `cbor:",toarray"`
	Version uint32
	Chain   string
	Gateway work.PublicKey
}

const metaVersion = 2

// jobRecord is what must be known of a job besides its tasks and receipts.
type jobRecord struct {
	_        struct{} `cbor:",toarray"`
	Kind     work.Name
	Spec     artifact.Digest
	Phase    Phase
	Reason   string // why it is in this phase, for people
	Open     uint64 // the number of the epoch that receipts enter now
	Sealed   int64  // height at which the last epoch was sealed
	Closing  int64  // height at which the job was first seen closing
	Claimed  bool   // the workers' claims were sent
	TakenAt  int64  // Unix milliseconds
	EndedAt  int64
	Failed   uint64 // tasks that nobody could do
	Finished bool   // the plan is at its end
}

// bundleRecord is a bundle in a worker's hands or waiting for another.
type bundleRecord struct {
	_       struct{} `cbor:",toarray"`
	Pace    int64    // nanoseconds
	Worker  work.PublicKey
	Granted int64 // Unix milliseconds
	Left    int64 // nanoseconds that the lease had then
	Tasks   []taskRecord
}

type taskRecord struct {
	_       struct{} `cbor:",toarray"`
	Seq     uint64
	Plan    uint64 // the plan's number for it
	Attempt uint32
	Tries   uint32
	Leased  bool
	Body    []byte
}

// account is what a worker earned in a job.
type account struct {
	_        struct{} `cbor:",toarray"`
	Units    uint64
	Receipts uint64
	Epoch    uint64 // the one that its last receipt entered; its voucher names it
}

// epochRecord is a sealed epoch: what we commit and what became of it.
type epochRecord struct {
	_         struct{} `cbor:",toarray"`
	Receipts  rootRecord
	Pay       rootRecord
	Status    work.EpochStatus // "" until the ledger has it
	Commit    int64
	Settled   int64
	Drawn     uint32
	Upheld    uint32
	False     uint32
	Undecided uint32
	Unaudited uint32
	Label     work.Label
	// The first receipts of the tree, by workers on probation.
	ProbationReceipts uint64
	ProbationUnits    uint64
	Plants            artifact.Digest // commitment to the plants; zero where there was none
	PlantsShown       bool
}

// orderRecord fixes which receipts come first in an epoch's tree: those of these workers.
// The ledger's word on who is on probation changes, an epoch's order must not.
type orderRecord struct {
	_       struct{} `cbor:",toarray"`
	Workers []byte   // their keys, sorted, one after the other
}

// plantRecord marks a receipt as a plant.
type plantRecord struct {
	_     struct{} `cbor:",toarray"`
	Decoy work.PublicKey
	Units uint64
}

// plantsRecord is what the plants commitment of a sealed epoch hides.
type plantsRecord struct {
	_       struct{} `cbor:",toarray"`
	Salt    [work.SaltSize]byte
	Indices []uint64
}

// scoreRecord is a worker's score as of a time.
type scoreRecord struct {
	_    struct{} `cbor:",toarray"`
	Good float64
	Bad  float64
	At   int64 // Unix milliseconds
}

type rootRecord struct {
	_      struct{} `cbor:",toarray"`
	Hash   work.Hash
	Leaves uint64
	Sum    uint64
}

func (r rootRecord) root() work.Root { return work.Root{Hash: r.Hash, Leaves: r.Leaves, Sum: r.Sum} }

func recordOf(r work.Root) rootRecord {
	return rootRecord{Hash: r.Hash, Leaves: r.Leaves, Sum: r.Sum}
}

// verdictRecord is an auditor's verdict as it came in: sealed, and then opened.
type verdictRecord struct {
	_          struct{} `cbor:",toarray"`
	Commitment artifact.Digest
	Signature  []byte
	Revealed   bool
	Outcome    work.AuditOutcome
	Evidence   artifact.Digest
	Salt       [work.SaltSize]byte
	Score      int32
}

// unscored is verdictRecord as it was before there were scores.
type unscored struct {
	_          struct{} `cbor:",toarray"`
	Commitment artifact.Digest
	Signature  []byte
	Revealed   bool
	Outcome    work.AuditOutcome
	Evidence   artifact.Digest
	Salt       [work.SaltSize]byte
}

func decodeVerdict(b []byte) (verdictRecord, error) {
	v, err := decode[verdictRecord]("a verdict", b)
	if err == nil {
		return v, nil
	}
	old, oldErr := decode[unscored]("a verdict", b)
	if oldErr != nil {
		return v, err
	}
	return verdictRecord{
		Commitment: old.Commitment, Signature: old.Signature, Revealed: old.Revealed,
		Outcome: old.Outcome, Evidence: old.Evidence, Salt: old.Salt,
	}, nil
}

func encode(v any) []byte {
	b, err := work.Encode(v)
	if err != nil {
		panic(err) // the records above are plain structs, which always encode
	}
	return b
}

func decode[T any](what string, b []byte) (T, error) {
	v, err := work.Decode[T](b, maxRecord)
	if err != nil {
		return v, fmt.Errorf("%w: %s: %v", ErrCorrupt, what, err)
	}
	return v, nil
}

// A receipt's record is by hand, for there are millions: the receipt's length, the
// receipt's canonical encoding, the task's body.
func appendReceipt(b, receipt, body []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(receipt)))
	b = append(b, receipt...)
	return append(b, body...)
}

func splitReceipt(b []byte) (receipt, body []byte, err error) {
	if len(b) < 2 || len(b) < 2+int(binary.BigEndian.Uint16(b)) {
		return nil, nil, fmt.Errorf("%w: a receipt's record of %d bytes", ErrCorrupt, len(b))
	}
	n := 2 + int(binary.BigEndian.Uint16(b))
	return b[2:n], b[n:], nil
}
