package worker

import "os"

// JournalledReceipts, JournalledVouchers and JournalledProofs count records in a journal that
// somebody else may be writing.
func JournalledReceipts(path string) int { return journalled(path, recordReceipt) }
func JournalledVouchers(path string) int { return journalled(path, recordVoucher) }
func JournalledProofs(path string) int   { return journalled(path, recordProof) }

func journalled(path string, kind byte) int {
	b, err := os.ReadFile(path)
	if err != nil || len(b) < len(journalMagic) {
		return 0
	}
	n := 0
	for b = b[len(journalMagic):]; ; {
		r, size := nextRecord(b)
		if size == 0 {
			return n
		}
		_ = r.each(func(r record) error {
			if r.kind == kind {
				n++
			}
			return nil
		})
		b = b[size:]
	}
}

// OpenVerdicts counts the verdicts that a worker still looks after.
func OpenVerdicts(w *Worker) int {
	n := 0
	for _, l := range w.allLinks() {
		n += len(l.durable.openVerdicts())
	}
	return n
}
