package dataset_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/kinds/crawl/dataset"
)

func verify(t *testing.T, dir string, view dataset.LedgerView) *dataset.Report {
	t.Helper()
	r, err := dataset.Verify(context.Background(), dir, view, nil)
	require.NoError(t, err)
	return r
}

func TestWriteAndVerify(t *testing.T) {
	w := usual(t)
	dir, out := w.write()
	r := verify(t, dir, w)
	require.True(t, r.OK(), r.String())
	require.Equal(t, out.CID, r.CID)
	require.Equal(t, dataset.Counts{Pages: 7, Redirects: 2, Refusals: 2, Errors: 1, NoIndex: 1, Robots: 1,
		Receipts: 14, Duplicates: 1, Bytes: r.Counts.Bytes, Workers: 3}, r.Counts)
	require.Contains(t, r.String(), "verify: ok\n")

	off := verify(t, dir, nil)
	require.True(t, off.OK(), off.String())
	require.Contains(t, off.String(), "without the ledger")
}

// The same job gives the same directory, byte for byte.
func TestWriteIsDeterministic(t *testing.T) {
	w := usual(t)
	a, outA := w.write()
	b, outB := w.write()
	require.Equal(t, outA, outB)
	require.Equal(t, tree(t, a), tree(t, b))
}

func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	m := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		m[strings.TrimPrefix(path, dir)] = string(b)
		return err
	}))
	return m
}

// Pages that ask not to be indexed leave no trace of what they say.
func TestNoIndexIsLeftOut(t *testing.T) {
	w := crawlSite(t, "/private")
	dir, _ := w.write()
	require.True(t, verify(t, dir, w).OK())
	for name, b := range tree(t, dir) {
		require.NotContains(t, b, "Nobody should keep", name)
		require.False(t, strings.HasPrefix(name, "/warc/"), name)
	}
}

// Exchanges that fill several WARC files are found in all of them.
func TestSeveralWARCFiles(t *testing.T) {
	w := usual(t)
	m := w.meta()
	m.MaxWARC = 4000
	dir := t.TempDir()
	out, err := dataset.Write(context.Background(), dir, w, m, nil)
	require.NoError(t, err)
	w.register(out)
	names, err := os.ReadDir(filepath.Join(dir, "warc"))
	require.NoError(t, err)
	require.Greater(t, len(names), 3)
	r := verify(t, dir, w)
	require.True(t, r.OK(), r.String())

	first := filepath.Join(dir, "warc", names[0].Name())
	b, err := os.ReadFile(first)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(first, b[:len(b)-200], 0o644))
	require.Contains(t, verify(t, dir, w).String(), "bytes short of the next exchange")
}

// TestKeep writes the usual dataset to CANTUS_DATASET for foreign tools to read.
func TestKeep(t *testing.T) {
	dir := os.Getenv("CANTUS_DATASET")
	if dir == "" || os.Getenv("CANTUS_PAGES") != "" {
		t.Skip("set CANTUS_DATASET to a new directory")
	}
	w := usual(t)
	_, err := dataset.Write(context.Background(), dir, w, w.meta(), nil)
	require.NoError(t, err)
}
