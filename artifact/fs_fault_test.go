package artifact_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/artifact/artifacttest"
	"github.com/cantus-network/cantus/internal/fault"
)

// fill uses a store as a gateway does: batches and single blobs, with a stop in between.
// It returns what was acknowledged, also when it fails.
func fill(dir string, batches [][][]byte) (acked [][]byte, err error) {
	for i, batch := range batches {
		f, err := artifact.OpenFS(dir, artifact.Options{Quota: 1 << 30})
		if err != nil {
			return acked, err
		}
		for _, part := range [][][]byte{batch, {bytes.Repeat([]byte{byte(i)}, 9000)}} {
			if _, err := f.PutAll(context.Background(), part); err != nil {
				if closed := f.Close(); closed != nil {
					return acked, closed
				}
				return acked, err
			}
			acked = append(acked, part...)
		}
		if err := f.Close(); err != nil {
			return acked, err
		}
	}
	return acked, nil
}

// TestFullDisk lets the disk have no room at each write of a run in turn, and no room for
// each file that it makes. What was acknowledged is there afterwards, nothing else is taken
// for whole, the error says what to do, and with room again the same run goes through.
func TestFullDisk(t *testing.T) {
	fault.OnDisk(t, func(d *fault.Disk) {
		dir := d.Path("store")
		var batches [][][]byte
		for i := range uint64(3) {
			batches = append(batches, artifacttest.Blobs(i, 5, 1, 20_000))
		}
		_, err := fill(dir, batches)
		require.NoError(t, err)
		pages, files := d.Used()
		require.Greater(t, pages, 20)
		require.Greater(t, files, 256)

		try := func(t *testing.T, room func(int), n int) {
			d.Clear()
			room(n)
			acked, err := fill(dir, batches)
			if err != nil {
				require.ErrorIs(t, err, artifact.ErrFull, "%d left", n)
				require.ErrorIs(t, err, syscall.ENOSPC, "%d left", n)
				require.ErrorContains(t, err, dir, "it says where")
				require.ErrorContains(t, err, "free some", "it says what to do")
			}
			// While the disk is still full, what is there can be read.
			room(0)
			checkStore(t, dir, acked, n)
			d.Plenty()
			checkStore(t, dir, acked, n)
			acked, err = fill(dir, batches)
			require.NoError(t, err, "with room again, after %d", n)
			checkStore(t, dir, acked, n)
		}
		failed := 0
		for n := range fault.Positions(pages+1, 40) {
			try(t, d.Pages, n)
			failed++
		}
		for n := range fault.Positions(files+2, 60) {
			try(t, d.Files, n)
			failed++
		}
		t.Logf("%d pages and %d files: %d positions tried", pages, files, failed)
	})
}

// checkStore opens a store and looks whether all blobs are there and everything there is
// whole.
func checkStore(t *testing.T, dir string, acked [][]byte, n int) {
	t.Helper()
	f, err := artifact.OpenFS(dir, artifact.Options{})
	if err != nil && len(acked) == 0 {
		require.ErrorIs(t, err, artifact.ErrFull, "a store that could not even be made")
		return
	}
	require.NoError(t, err)
	defer f.Close()
	for _, b := range acked {
		got, err := f.Get(t.Context(), artifact.Sum(b), 0)
		require.NoError(t, err, "an acknowledged blob, after %d", n)
		require.True(t, bytes.Equal(b, got))
	}
	for info, err := range f.All(t.Context()) {
		require.NoError(t, err)
		_, err = f.Get(t.Context(), info.Digest, 0)
		require.NoError(t, err, "a part of a blob was taken for the whole, after %d", n)
	}
	left, err := os.ReadDir(filepath.Join(dir, "tmp"))
	require.NoError(t, err)
	require.Empty(t, left)
}

// TestTornBlobs cuts and alters stored files at every byte: none is ever given out, and
// putting the blob again repairs it.
func TestTornBlobs(t *testing.T) {
	dir := t.TempDir()
	f := openFS(t, dir, artifact.Options{Quota: 1 << 20})
	b := artifacttest.Blobs(9, 1, 60, 60)[0]
	d, err := f.Put(t.Context(), b)
	require.NoError(t, err)
	path := filepath.Join(dir, d.String()[:2], d.String())
	damage := func(what string, torn []byte) {
		require.NoError(t, os.WriteFile(path, torn, 0o600))
		_, err := f.Get(t.Context(), d, 0)
		require.ErrorIs(t, err, artifact.ErrCorrupt, what)
		_, err = f.Get(t.Context(), d, 0)
		require.ErrorIs(t, err, artifact.ErrNotFound, "%s: it is out of the way", what)
		_, err = f.Put(t.Context(), b)
		require.NoError(t, err, what)
		got, err := f.Get(t.Context(), d, 0)
		require.NoError(t, err, what)
		require.True(t, bytes.Equal(b, got), what)
	}
	for n := range len(b) {
		damage("cut", b[:n])
		flipped := bytes.Clone(b)
		flipped[n] ^= 1
		damage("flipped", flipped)
	}
	damage("longer", append(bytes.Clone(b), 0))
	// A blob that is put while a torn one is in its place is not taken to be stored.
	require.NoError(t, os.WriteFile(path, b[:30], 0o600))
	_, err = f.Put(t.Context(), b)
	require.NoError(t, err)
	_, err = f.Get(t.Context(), d, 0)
	require.NoError(t, err)
}
