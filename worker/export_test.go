package worker

import "os"

// JournalledReceipts counts the receipts in a journal that somebody else may be writing.
func JournalledReceipts(path string) int {
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
		if r.kind == recordReceipt {
			n++
		}
		b = b[size:]
	}
}
