package scheduler

import (
	"encoding/binary"

	"github.com/cantus-network/cantus/work"
)

// The database's key space. Numbers are big-endian, so that order is numeric.
//
//	m                           meta: whose database this is
//	f                           fenceRecord of a restored database
//	s worker                    scoreRecord: how a worker does here
//	j job                       jobRecord
//	n job                       the next task's number
//	p job key                   the plan's own
//	b job seq                   bundleRecord, by its first task
//	q job seq                   what that bundle requires of its worker, if anything
//	d job seq                   where a finished task's receipt is: its epoch, 0 for none
//	r job epoch seq             a receipt with its task's body
//	w job worker                account: what a worker earned so far
//	e job epoch                 epochRecord of a sealed epoch
//	o job epoch                 the workers whose receipts come first in its tree
//	g job epoch seq             plantRecord: the receipt there is a plant
//	x job epoch                 plantsRecord: what the epoch's plants commitment hides
//	y job worker epoch          a worker's cumulative units as of that epoch
//	v job epoch sample worker   verdictRecord
const (
	spaceMeta    = 'm'
	spaceFence   = 'f'
	spaceScore   = 's'
	spaceJob     = 'j'
	spaceNumber  = 'n'
	spacePlan    = 'p'
	spaceBundle  = 'b'
	spaceRequire = 'q'
	spaceDone    = 'd'
	spaceReceipt = 'r'
	spaceAccount = 'w'
	spaceEpoch   = 'e'
	spaceOrder   = 'o'
	spacePlant   = 'g'
	spacePlants  = 'x'
	spacePay     = 'y'
	spaceVerdict = 'v'
)

var jobSpaces = []byte{spaceJob, spacePlan, spaceBundle, spaceDone, spaceReceipt, spaceAccount, spaceEpoch, spacePay, spaceVerdict, spaceNumber, spaceOrder, spacePlant, spacePlants, spaceRequire}

func jobKey(space byte, job work.JobID) []byte {
	b := make([]byte, 9, 64)
	b[0] = space
	binary.BigEndian.PutUint64(b[1:], uint64(job))
	return b
}

func numberKey(space byte, job work.JobID, n uint64) []byte {
	return binary.BigEndian.AppendUint64(jobKey(space, job), n)
}

func receiptKey(job work.JobID, epoch, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(numberKey(spaceReceipt, job, epoch), seq)
}

func plantKey(job work.JobID, epoch, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(numberKey(spacePlant, job, epoch), seq)
}

func scoreKey(w work.PublicKey) []byte { return append([]byte{spaceScore}, w[:]...) }

func accountKey(job work.JobID, w work.PublicKey) []byte {
	return append(jobKey(spaceAccount, job), w[:]...)
}

func payKey(job work.JobID, w work.PublicKey, epoch uint64) []byte {
	return binary.BigEndian.AppendUint64(append(jobKey(spacePay, job), w[:]...), epoch)
}

func verdictKey(job work.JobID, epoch uint64, sample uint32, w work.PublicKey) []byte {
	b := binary.BigEndian.AppendUint32(numberKey(spaceVerdict, job, epoch), sample)
	return append(b, w[:]...)
}

// lastNumber is the big-endian number that a key ends with.
func lastNumber(key []byte) uint64 {
	if len(key) < 8 {
		return 0
	}
	return binary.BigEndian.Uint64(key[len(key)-8:])
}

// after is the first key behind all that have the prefix; nil where there is none.
func after(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		end[i]++
		if end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}
