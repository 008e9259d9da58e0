package dataset

import (
	"bytes"
	"fmt"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/internal/fault"
)

// TestFullDiskSort: an index too large for memory is sorted in temporary files. With room
// for none, or for a part, the sort fails; it never gives lines that lack some.
func TestFullDiskSort(t *testing.T) {
	fault.OnDisk(t, func(d *fault.Disk) {
		const lines = 2000
		sorted := func() (got []byte, err error) {
			s := newSorter(d.Dir(), 8<<10)
			defer s.close()
			for i := range lines {
				if err := s.add(fmt.Appendf(nil, "%06d", (i*7919)%lines)); err != nil {
					return nil, err
				}
			}
			err = s.each(func(l []byte) error { got = append(got, l...); return nil })
			return got, err
		}
		var want []byte
		for i := range lines {
			want = fmt.Appendf(want, "%06d\n", i)
		}
		for _, room := range []func(int){d.Pages, d.Files} {
			n := 0
			for ; ; n++ {
				d.Clear()
				room(n)
				got, err := sorted()
				if err == nil {
					require.True(t, bytes.Equal(want, got), "%d left", n)
					break
				}
				require.ErrorIs(t, err, syscall.ENOSPC)
			}
			require.Greater(t, n, 3)
		}
	})
}
