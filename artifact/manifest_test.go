package artifact_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/artifact"
)

func sampleManifest() artifact.Manifest {
	return artifact.Manifest{
		Format: artifact.ManifestFormat,
		Type:   "dataset",
		Title:  "Pages of example.org – in full",
		Files: []artifact.File{
			{Name: "index.cdxj", Size: 3, SHA256: artifact.Sum([]byte("abc"))},
			{Name: "pages.parquet", Size: 0, SHA256: artifact.Sum(nil), MediaType: "application/vnd.apache.parquet"},
			{Name: "warc/00001.warc.gz", Size: 5, SHA256: artifact.Sum([]byte("hello")), MediaType: "application/warc"},
		},
		Origin: &artifact.Origin{
			Chain: "cantus-dev-1", Job: 7, Kind: "crawl/1", SettledRoot: artifact.Sum([]byte("root")),
			Epochs: []artifact.Epoch{
				{Number: 1, Root: artifact.Sum([]byte("1")), Receipts: 10, Units: 12, Height: 99},
				{Number: 3, Root: artifact.Sum([]byte("3")), Receipts: 1, Units: 1, Height: 120},
			},
		},
		Parameters: json.RawMessage(`{"max_pages":50,"seeds":["https://example.org/"]}`),
	}
}

func TestManifestGolden(t *testing.T) {
	b, err := sampleManifest().Encode()
	require.NoError(t, err)
	// Changing one of these two orphans every manifest that was ever registered.
	require.Equal(t, `{"files":[{"name":"index.cdxj","sha256":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad","size":3},`+
		`{"media_type":"application/vnd.apache.parquet","name":"pages.parquet","sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0},`+
		`{"media_type":"application/warc","name":"warc/00001.warc.gz","sha256":"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824","size":5}],`+
		`"format":"https://cantus.network/manifest/v1",`+
		`"origin":{"chain":"cantus-dev-1","epochs":[{"height":99,"number":1,"receipts":10,"root":"6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b","units":12},`+
		`{"height":120,"number":3,"receipts":1,"root":"4e07408562bedb8b60ce05c1decfe3ad16b72230967de01f640b7e4729b49fce","units":1}],"job":7,"kind":"crawl/1",`+
		`"settled_root":"4813494d137e1631bba301d5acab6e7bb7aa74ce1185d456565ef51d737677b2"},`+
		`"parameters":{"max_pages":50,"seeds":["https://example.org/"]},"title":"Pages of example.org – in full","type":"dataset"}`, string(b))
	require.Equal(t, artifact.CID(artifact.JSON, artifact.Sum(b)), artifact.ManifestCID(b))

	m, err := artifact.DecodeManifest(b)
	require.NoError(t, err)
	require.Equal(t, sampleManifest(), m)
}

func TestManifestRefuses(t *testing.T) {
	for name, change := range map[string]func(*artifact.Manifest){
		"another format":         func(m *artifact.Manifest) { m.Format = "" },
		"no type":                func(m *artifact.Manifest) { m.Type = "" },
		"an odd type":            func(m *artifact.Manifest) { m.Type = "Data Set" },
		"a long title":           func(m *artifact.Manifest) { m.Title = strings.Repeat("x", 1025) },
		"a title not in UTF-8":   func(m *artifact.Manifest) { m.Title = "\xff" },
		"no files":               func(m *artifact.Manifest) { m.Files = nil },
		"an unsorted file":       func(m *artifact.Manifest) { m.Files[0], m.Files[1] = m.Files[1], m.Files[0] },
		"a file twice":           func(m *artifact.Manifest) { m.Files[1] = m.Files[0] },
		"a bad file name":        func(m *artifact.Manifest) { m.Files[0].Name = "../x" },
		"a negative size":        func(m *artifact.Manifest) { m.Files[0].Size = -1 },
		"sizes beyond a number":  func(m *artifact.Manifest) { m.Files[0].Size, m.Files[1].Size = 1<<52, 1<<52 },
		"no digest":              func(m *artifact.Manifest) { m.Files[0].SHA256 = artifact.Digest{} },
		"a media type with more": func(m *artifact.Manifest) { m.Files[0].MediaType = "text/html; charset=utf-8" },
		"no chain":               func(m *artifact.Manifest) { m.Origin.Chain = "" },
		"job 0":                  func(m *artifact.Manifest) { m.Origin.Job = 0 },
		"an odd kind":            func(m *artifact.Manifest) { m.Origin.Kind = "crawl" },
		"no settled root":        func(m *artifact.Manifest) { m.Origin.SettledRoot = artifact.Digest{} },
		"epochs out of order":    func(m *artifact.Manifest) { m.Origin.Epochs[1].Number = 1 },
		"epoch 0":                func(m *artifact.Manifest) { m.Origin.Epochs[0].Number = 0 },
		"an epoch without root":  func(m *artifact.Manifest) { m.Origin.Epochs[0].Root = artifact.Digest{} },
		"too many units to say":  func(m *artifact.Manifest) { m.Origin.Epochs[0].Units = 1 << 60 },
		"parameters not sorted":  func(m *artifact.Manifest) { m.Parameters = json.RawMessage(`{"b":1,"a":2}`) },
		"parameters no object":   func(m *artifact.Manifest) { m.Parameters = json.RawMessage(`[]`) },
		"parameters null":        func(m *artifact.Manifest) { m.Parameters = json.RawMessage(`null`) },
		"parameters empty":       func(m *artifact.Manifest) { m.Parameters = json.RawMessage{} },
	} {
		m := sampleManifest()
		change(&m)
		if b, err := m.Encode(); !errors.Is(err, artifact.ErrManifest) {
			t.Errorf("%s: encoded as %.100s, %v", name, b, err)
		}
		// Whoever writes the JSON with another program must not get it in either. (In
		// three of the cases there is no such JSON: writing it mends it.)
		mended := name == "a title not in UTF-8" || name == "parameters not sorted" || name == "parameters empty"
		if b, err := artifact.Canonical(m); err == nil && !mended {
			if _, err := artifact.DecodeManifest(b); !errors.Is(err, artifact.ErrManifest) {
				t.Errorf("%s: decoded, %v", name, err)
			}
		}
	}
}

func TestFileNames(t *testing.T) {
	for _, good := range []string{
		"a", "warc/00001.warc.gz", "model-00001-of-00002.safetensors", "a/b/c/d.e", "x@1.2+b=3", "_SUCCESS",
		"console", "com", "com10", "a.con", "nul_", strings.Repeat("a", 100),
	} {
		if err := artifact.CheckName(good); err != nil {
			t.Errorf("refused: %v", err)
		}
	}
	for _, bad := range []string{
		"", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/..", "./a", "a/./b", "...", ".hidden", "a/.git/config",
		`a\b`, `..\a`, "C:", "C:/a", "c:a", "a:stream", "a\x00b", "a\nb", "a b", "ä", "a\u202eb", "-rf", "a/-x", "~", "~/a", "a*", "a?", "a|b", "$HOME", "%2e%2e",
		"con", "CON", "Nul.txt", "a/aux", "com1", "LPT9.gz", "com0", "a.", "a./b",
		strings.Repeat("a", 101), strings.Repeat("a/", 130) + "a",
	} {
		if err := artifact.CheckName(bad); err == nil {
			t.Errorf("%q is taken", bad)
		} else if len(err.Error()) > 400 {
			t.Errorf("the error for a name of %d characters has %d", len(bad), len(err.Error()))
		}
	}
	for _, clash := range [][]string{
		{"A", "a"}, {"a", "a/b"}, {"A/b", "a"}, {"a", "a.b", "a/b"}, {"Dir/x", "dir/X"},
	} {
		m := sampleManifest()
		m.Files = nil
		for _, name := range clash {
			m.Files = append(m.Files, artifact.File{Name: name, SHA256: artifact.Sum(nil)})
		}
		if err := m.Check(); err == nil {
			t.Errorf("%q are taken together", clash)
		}
	}
}

// writeFiles writes the files of sampleManifest.
func writeFiles(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "warc"), 0o700))
	for name, text := range map[string]string{"index.cdxj": "abc", "pages.parquet": "", "warc/00001.warc.gz": "hello"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	return dir
}

func TestVerifyDir(t *testing.T) {
	dir := writeFiles(t)
	m := sampleManifest()
	require.NoError(t, m.VerifyDir(t.Context(), dir))
	for _, f := range m.Files {
		got, err := artifact.Describe(t.Context(), dir, f.Name, f.MediaType)
		require.NoError(t, err)
		require.Equal(t, f, got)
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "more"), []byte("x"), 0o600))
	require.NoError(t, m.VerifyDir(t.Context(), dir), "a file that the manifest does not name")

	require.Error(t, m.VerifyDir(t.Context(), filepath.Join(dir, "nowhere")))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, m.VerifyDir(ctx, dir), context.Canceled)
	_, err := artifact.Describe(t.Context(), dir, "../"+filepath.Base(dir)+"/more", "")
	require.Error(t, err)
}

func TestVerifyDirFindsChanges(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secret, []byte("abc"), 0o600)) // what index.cdxj should hold
	for name, change := range map[string]func(index string) error{
		"changed":       func(f string) error { return os.WriteFile(f, []byte("abd"), 0o600) },
		"longer":        func(f string) error { return os.WriteFile(f, []byte("abcd"), 0o600) },
		"shorter":       func(f string) error { return os.WriteFile(f, []byte("ab"), 0o600) },
		"missing":       os.Remove,
		"a directory":   func(f string) error { return errors.Join(os.Remove(f), os.Mkdir(f, 0o700)) },
		"a link out":    func(f string) error { return errors.Join(os.Remove(f), os.Symlink(secret, f)) },
		"a link inside": func(f string) error { return errors.Join(os.Rename(f, f+"2"), os.Symlink("index.cdxj2", f)) },
		"a pipe":        makePipe,
	} {
		t.Run(name, func(t *testing.T) {
			dir := writeFiles(t)
			require.NoError(t, change(filepath.Join(dir, "index.cdxj")))
			err := sampleManifest().VerifyDir(t.Context(), dir)
			require.ErrorIs(t, err, artifact.ErrMismatch)
			require.ErrorContains(t, err, "index.cdxj")
			require.NotContains(t, err.Error(), "pages.parquet")
		})
	}
	t.Run("a directory that links out", func(t *testing.T) {
		dir, outside := writeFiles(t), t.TempDir()
		require.NoError(t, os.Rename(filepath.Join(dir, "warc"), filepath.Join(outside, "warc")))
		require.NoError(t, os.Symlink(filepath.Join(outside, "warc"), filepath.Join(dir, "warc")))
		require.ErrorIs(t, sampleManifest().VerifyDir(t.Context(), dir), artifact.ErrMismatch)
	})
	t.Run("many", func(t *testing.T) {
		m := sampleManifest()
		m.Files = nil
		for i := range 1000 {
			m.Files = append(m.Files, artifact.File{Name: fmt.Sprintf("f%04d", i), SHA256: artifact.Sum(nil)})
		}
		err := m.VerifyDir(t.Context(), t.TempDir())
		require.ErrorIs(t, err, artifact.ErrMismatch)
		require.Less(t, len(err.Error()), 10_000)
	})
}

func FuzzDecodeManifest(f *testing.F) {
	b, err := sampleManifest().Encode()
	require.NoError(f, err)
	f.Add(b)
	f.Add(bytes.Replace(b, []byte("warc/0"), []byte("../a/0"), 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := artifact.DecodeManifest(b)
		if err != nil {
			return
		}
		again, err := m.Encode()
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%q was read and written as %q, %v", b, again, err)
		}
		for _, file := range m.Files {
			if !filepath.IsLocal(filepath.FromSlash(file.Name)) {
				t.Fatalf("%q leaves its directory", file.Name)
			}
		}
	})
}
