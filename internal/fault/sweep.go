package fault

import (
	"iter"
	"os"
)

// Everywhere reports whether the tests were asked (FAULTS=all) to try a fault at every
// place where it can strike, and what takes long.
func Everywhere() bool { return os.Getenv("FAULTS") == "all" }

// Positions yields the numbers from 0 to n-1: all of them if Everywhere, else at most
// about most, the first and the last ones among them, where the rare cases are.
func Positions(n, most int) iter.Seq[int] {
	step := 1
	if !Everywhere() && n > most {
		step = (n + most - 1) / most
	}
	return func(yield func(int) bool) {
		for i := 0; i < n; i++ {
			if i%step != 0 && i >= 3 && i < n-3 {
				continue
			}
			if !yield(i) {
				return
			}
		}
	}
}
