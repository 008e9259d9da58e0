package work

import "slices"

// Cell is a part of a gateway that keeps some of its workers and jobs by itself: a process
// with its own address, ledger account and state. A worker belongs to one cell, a job too.
type Cell struct {
	Name    string // unique within the gateway
	URL     string
	Address string // the account that commits for the cell's jobs
}

// CellOf picks a worker's cell by rendezvous hashing (Thaler and Ravishankar, 1998): when
// one of n cells comes or goes, only about every nth worker moves. The order of the names
// does not matter. It returns "" where there are none.
func CellOf(worker PublicKey, names []string) string {
	var best string
	var high [32]byte
	for i, n := range names {
		h := domainHash(domainCell, worker[:], []byte(n))
		if c := slices.Compare(h[:], high[:]); i == 0 || c > 0 {
			best, high = n, h
		}
	}
	return best
}
