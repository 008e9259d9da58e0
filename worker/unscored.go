package worker

import (
	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/work"
)

// unscoredRecord is verdictRecord as it was before there were scores.
type unscoredRecord struct {
	_        struct{} `cbor:",toarray"`
	Job      work.JobID
	Epoch    uint64
	Sample   uint32
	Outcome  work.AuditOutcome
	Evidence artifact.Digest
	Salt     [work.SaltSize]byte
	At       int64
}

func decodeVerdict(b []byte) (verdictRecord, error) {
	v, err := work.Decode[verdictRecord](b, maxRecord)
	if err == nil {
		return v, nil
	}
	old, oldErr := work.Decode[unscoredRecord](b, maxRecord)
	if oldErr != nil {
		return v, err
	}
	return verdictRecord{Job: old.Job, Epoch: old.Epoch, Sample: old.Sample, Outcome: old.Outcome, Evidence: old.Evidence, Salt: old.Salt, At: old.At}, nil
}
