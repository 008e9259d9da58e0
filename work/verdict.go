package work

import (
	"crypto/subtle"
	"errors"
	"fmt"

	"github.com/cantus-network/cantus/artifact"
)

// AuditOutcome is an auditor's finding. The numbers are the ledger's.
type AuditOutcome uint8

const (
	Pass   AuditOutcome = 1 // the result is what the task gives
	Fail   AuditOutcome = 2 // it is not
	Unsure AuditOutcome = 3 // the auditor could not tell: the page is gone, or changes
)

// String is the finding as people read it.
func (o AuditOutcome) String() string {
	switch o {
	case Pass:
		return "pass"
	case Fail:
		return "fail"
	case Unsure:
		return "unsure"
	}
	return fmt.Sprintf("outcome %d", uint8(o))
}

// Verdict is what an auditor found.
type Verdict struct {
	Outcome  AuditOutcome
	Label    Label           // how it was checked
	Evidence artifact.Digest // of what the auditor saw, in Env.Blobs
	// Score, for kinds of which no audit is sure, is how much more likely what the auditor saw
	// is if the worker cheats than if it does not: the logarithm, in thousandths of a nat.
	Score  int32
	Reason string // for people; not committed to
}

// SaltSize is the length of the salt that hides a verdict in its commitment.
const SaltSize = 32

// ErrCommitment is returned for a reveal that is not what was committed.
var ErrCommitment = errors.New("verdict is not the committed one")

// VerdictID says which verdict: of whom, on which sample.
type VerdictID struct {
	_       struct{} `cbor:",toarray"`
	Chain   string
	Job     JobID
	Epoch   uint64
	Sample  uint32
	Auditor PublicKey
}

type verdictOpening struct {
	_        struct{} `cbor:",toarray"`
	ID       VerdictID
	Outcome  AuditOutcome
	Evidence artifact.Digest
	Salt     [SaltSize]byte
}

// scoredOpening is what is hidden of a verdict with a score. It is longer, so no commitment
// is of both.
type scoredOpening struct {
	_        struct{} `cbor:",toarray"`
	ID       VerdictID
	Outcome  AuditOutcome
	Evidence artifact.Digest
	Salt     [SaltSize]byte
	Score    int32
}

// MaxScore bounds a score: far beyond it one sample counts no more.
const MaxScore = 1_000_000

// Commitment is the salted digest that stands for a verdict until all of its sample are
// in. The ID is inside, so one auditor can't copy another's commitment.
func (v Verdict) Commitment(id VerdictID, salt [SaltSize]byte) (artifact.Digest, error) {
	if v.Outcome < Pass || v.Outcome > Unsure {
		return artifact.Digest{}, fmt.Errorf("verdict: unknown %v", v.Outcome)
	}
	if v.Score < -MaxScore || v.Score > MaxScore {
		return artifact.Digest{}, fmt.Errorf("verdict: score %d, want at most %d either way", v.Score, MaxScore)
	}
	var hidden any = verdictOpening{ID: id, Outcome: v.Outcome, Evidence: v.Evidence, Salt: salt}
	if v.Score != 0 {
		hidden = scoredOpening{ID: id, Outcome: v.Outcome, Evidence: v.Evidence, Salt: salt, Score: v.Score}
	}
	b, err := Encode(hidden)
	if err != nil {
		return artifact.Digest{}, fmt.Errorf("encode a verdict: %w", err)
	}
	return domainHash(domainVerdict, b), nil
}

// CheckReveal checks that v and salt are what c committed to.
func (v Verdict) CheckReveal(id VerdictID, salt [SaltSize]byte, c artifact.Digest) error {
	got, err := v.Commitment(id, salt)
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(got[:], c[:]) != 1 {
		return fmt.Errorf("%w (job %d, epoch %d, sample %d, auditor %s)", ErrCommitment, id.Job, id.Epoch, id.Sample, id.Auditor.Short())
	}
	return nil
}

type verdictCommit struct {
	_          struct{} `cbor:",toarray"`
	ID         VerdictID
	Commitment artifact.Digest
}

// SignCommitment signs a verdict's commitment with the auditor's key, so that anybody
// can carry it to the ledger.
func (k PrivateKey) SignCommitment(id VerdictID, c artifact.Digest) ([]byte, error) {
	id.Auditor = k.Public()
	b, err := Encode(verdictCommit{ID: id, Commitment: c})
	if err != nil {
		return nil, fmt.Errorf("encode a verdict's commitment: %w", err)
	}
	return k.sign(domainCommitment, b), nil
}

// VerifyCommitment checks SignCommitment; the auditor is in the ID.
func VerifyCommitment(id VerdictID, c artifact.Digest, sig []byte) error {
	b, err := Encode(verdictCommit{ID: id, Commitment: c})
	if err != nil {
		return fmt.Errorf("encode a verdict's commitment: %w", err)
	}
	return id.Auditor.verify(domainCommitment, b, sig)
}
