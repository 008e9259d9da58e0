package dataset_test

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/internal/fault"
	"github.com/cantus-network/cantus/kinds/crawl/dataset"
)

// TestFullDiskAtEveryWrite lets the disk have no room at each write of a dataset in turn, and no room
// for each file: the error names the directory and says what to do, what is there is not
// taken for a dataset, and the same call with room again makes the very dataset.
func TestFullDiskAtEveryWrite(t *testing.T) {
	fault.OnDisk(t, func(d *fault.Disk) {
		w := usual(t)
		m := w.meta()
		m.MaxWARC = 4000 // several files
		dir := d.Path("dataset")
		write := func() (dataset.Written, error) { return dataset.Write(context.Background(), dir, w, m, nil) }
		want, err := write()
		require.NoError(t, err)
		w.register(want)
		files := tree(t, dir)
		pages, inodes := d.Used()
		require.Greater(t, pages, 10)
		require.Greater(t, inodes, 8)

		try := func(room func(int), n int) (failed bool) {
			d.Clear()
			room(n)
			_, err := write()
			if err != nil {
				require.ErrorIs(t, err, syscall.ENOSPC, "%d left", n)
				require.ErrorContains(t, err, dir, "it says where")
				require.ErrorContains(t, err, "free some space and run the same command again")
				notADataset(t, dir, n)
				room(0)
				_, err = write()
				require.Error(t, err, "no room at all, after %d", n)
				notADataset(t, dir, n)
			}
			d.Plenty()
			got, again := write()
			require.NoError(t, again, "with room again, after %d", n)
			require.Equal(t, want, got)
			require.Equal(t, files, tree(t, dir), "after %d", n)
			return err != nil
		}
		n, failures := 0, 0
		for ; ; n++ { // until it goes through: the unfinished directory takes more than the finished
			if !try(d.Pages, n) {
				break
			}
			failures++
		}
		require.GreaterOrEqual(t, n, pages)
		for n = 0; try(d.Files, n); n++ {
			failures++
		}
		require.GreaterOrEqual(t, n, inodes)
		t.Logf("%d failures", failures)
		require.True(t, verify(t, dir, w).OK())
	})
}

func notADataset(t *testing.T, dir string, n int) {
	t.Helper()
	r, err := dataset.Verify(context.Background(), dir, nil, nil)
	require.False(t, err == nil && r.OK(), "after %d: an unfinished dataset passes", n)
}

// TestTornDataset cuts each of a finished dataset's files short by a byte, by half and
// whole, as a crash or a bad copy may: none of it passes.
func TestTornDataset(t *testing.T) {
	w := usual(t)
	dir, _ := w.write()
	for name, content := range tree(t, dir) {
		for _, n := range []int{0, len(content) / 2, len(content) - 1} {
			path := filepath.Join(dir, name)
			require.NoError(t, os.Truncate(path, int64(n)))
			r, err := dataset.Verify(context.Background(), dir, w, nil)
			require.False(t, err == nil && r.OK(), "%s cut to %d of %d bytes passes", name, n, len(content))
			require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
		}
	}
	require.True(t, verify(t, dir, w).OK())
}
