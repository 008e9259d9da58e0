package modeldir_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/internal/fault"
	"github.com/cantus-network/cantus/internal/modeldir"
)

// TestFullDisk brings models onto a disk that gets full at every page and every file that
// they need: what was there stays, what could not come leaves no model, and once there is
// room the same command brings it.
func TestFullDisk(t *testing.T) {
	fault.OnDisk(t, func(disk *fault.Disk) {
		from, e := made(t)
		url := served(t, from.Handler())
		src := source(t, "tiny", 1, nil)
		ways := map[string]func(d *modeldir.Dir) (modeldir.Entry, error){
			"import": func(d *modeldir.Dir) (modeldir.Entry, error) {
				return d.Import(t.Context(), src, modeldir.Options{})
			},
			"pull": func(d *modeldir.Dir) (modeldir.Entry, error) {
				return d.Pull(t.Context(), modeldir.Pull{From: url, Ref: e.Hex()})
			},
		}
		for name, bring := range ways { // order-free: each on a disk that was cleared
			disk.Clear()
			d := modeldir.At(disk.Path("models"))
			_, err := bring(d)
			require.NoError(t, err)
			pages, files := disk.Used()
			try := func(leave func(int), n int) {
				disk.Clear()
				other, err := d.Import(t.Context(), source(t, "other", 2, nil), modeldir.Options{})
				require.NoError(t, err)
				leave(n)
				if _, err := bring(d); err != nil {
					require.ErrorIs(t, err, syscall.ENOSPC, "%s with room for %d", name, n)
					list, err := d.List()
					require.NoError(t, err)
					require.Len(t, list, 1, "%s with room for %d", name, n)
					for _, f := range leftovers(t, d) {
						require.Equal(t, ".part", filepath.Ext(f), "only what came of a pull is kept")
					}
				}
				disk.Plenty()
				_, err = d.Load(t.Context(), other.Hex(), 0)
				require.NoError(t, err)
				got, err := bring(d)
				require.NoError(t, err, "%s after there was room for %d", name, n)
				require.Equal(t, e.Root, got.Root)
				require.Empty(t, leftovers(t, d))
				_, err = d.Verify(t.Context(), got.Hex(), nil)
				require.NoError(t, err)
			}
			for n := range fault.Positions(pages, 12) {
				try(disk.Pages, n)
			}
			for n := range fault.Positions(files, 12) {
				try(disk.Files, n)
			}
		}
	})
}

// TestUnreadable meets a directory that can't be used.
func TestUnreadable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "models")
	require.NoError(t, os.WriteFile(path, []byte("a file"), 0o644))
	d := modeldir.At(path)
	_, err := d.List()
	require.ErrorContains(t, err, path)
	_, err = d.Import(t.Context(), source(t, "tiny", 1, nil), modeldir.Options{})
	require.ErrorContains(t, err, path)
}
