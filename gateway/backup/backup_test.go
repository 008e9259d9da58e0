package backup_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/gateway/backup"
	"github.com/cantus-network/cantus/scheduler"
	"github.com/cantus-network/cantus/work"
)

var passphrase = []byte("correct horse battery")

func newKey(t testing.TB) work.PrivateKey {
	k, err := work.GenerateKey(rand.Reader)
	require.NoError(t, err)
	return k
}

// silent is a ledger that never answers.
type silent struct{ scheduler.Ledger }

func (silent) WaitHeight(ctx context.Context, _ int64) (int64, error) {
	<-ctx.Done()
	return 0, ctx.Err()
}

func open(t testing.TB, dir string, key work.PrivateKey) *scheduler.Scheduler {
	store, err := artifact.NewMemory(artifact.Options{})
	require.NoError(t, err)
	s, err := scheduler.Open(scheduler.Config{Chain: "test-1", Key: key, Ledger: silent{}, Artifacts: store, Dir: dir})
	require.NoError(t, err)
	return s
}

// database makes one and returns a copy's directory.
func database(t testing.TB, key work.PrivateKey) string {
	s := open(t, filepath.Join(t.TempDir(), "scheduler"), key)
	dir := filepath.Join(t.TempDir(), "copy")
	require.NoError(t, s.Checkpoint(dir))
	require.NoError(t, s.Close())
	require.NoError(t, os.WriteFile(filepath.Join(dir, "ballast"), make([]byte, 1000), 0o600))
	return dir
}

func source(t testing.TB, key work.PrivateKey) backup.Source {
	return backup.Source{Database: database(t, key), Chain: "test-1", Key: key, Height: 7, Made: time.Unix(1_800_000_000, 0), Passphrase: passphrase}
}

func write(t testing.TB, s backup.Source) []byte {
	var b bytes.Buffer
	_, err := backup.Write(&b, s)
	require.NoError(t, err)
	return b.Bytes()
}

func ask() ([]byte, error) { return passphrase, nil }

func TestThereAndBack(t *testing.T) {
	key := newKey(t)
	for _, final := range []bool{true, false} {
		s := source(t, key)
		s.Final = final
		b := write(t, s)
		seed := key.Seed()
		require.NotContains(t, string(b), string(seed))
		dir := filepath.Join(t.TempDir(), "gateway")
		m, got, err := backup.Restore(bytes.NewReader(b), backup.Target{Dir: dir, Chain: "test-1", Passphrase: ask})
		require.NoError(t, err)
		require.Equal(t, key.Public(), got.Public())
		require.Equal(t, key.Public(), m.Gateway)
		require.EqualValues(t, 7, m.Height)
		require.Equal(t, final, m.Final)
		_, err = os.Stat(filepath.Join(dir, "scheduler", "ballast"))
		require.ErrorIs(t, err, fs.ErrNotExist)
		chain, owner, err := scheduler.Owner(filepath.Join(dir, "scheduler"))
		require.NoError(t, err)
		require.Equal(t, "test-1", chain)
		require.Equal(t, key.Public(), owner)
		require.NoError(t, open(t, filepath.Join(dir, "scheduler"), key).Close())
		_, _, err = backup.Restore(bytes.NewReader(b), backup.Target{Dir: dir, Passphrase: ask})
		require.ErrorContains(t, err, "there is a database")
	}
}

func TestWithoutKey(t *testing.T) {
	key := newKey(t)
	s := source(t, key)
	s.Passphrase = nil
	b := write(t, s)
	dir := t.TempDir()
	_, _, err := backup.Restore(bytes.NewReader(b), backup.Target{Dir: dir, Passphrase: ask})
	require.ErrorContains(t, err, "without the node key")
	_, _, err = backup.Restore(bytes.NewReader(b), backup.Target{Dir: dir, Key: newKey(t), Passphrase: ask})
	require.ErrorIs(t, err, backup.ErrForeign)
	_, got, err := backup.Restore(bytes.NewReader(b), backup.Target{Dir: dir, Key: key})
	require.NoError(t, err)
	require.Equal(t, key.Public(), got.Public())
}

func refused(t *testing.T, b []byte, target backup.Target) error {
	t.Helper()
	if target.Dir == "" {
		target.Dir = t.TempDir()
	}
	if target.Passphrase == nil {
		target.Passphrase = ask
	}
	_, _, err := backup.Restore(bytes.NewReader(b), target)
	require.Error(t, err)
	left, rerr := os.ReadDir(target.Dir)
	require.NoError(t, rerr)
	require.Empty(t, left, "nothing stays behind")
	return err
}

func TestRefused(t *testing.T) {
	key := newKey(t)
	good := write(t, source(t, key))
	require.ErrorIs(t, refused(t, good, backup.Target{Passphrase: func() ([]byte, error) { return []byte("something else"), nil }}), backup.ErrPassphrase)
	require.ErrorIs(t, refused(t, good, backup.Target{Chain: "other-1"}), backup.ErrForeign)
	require.ErrorIs(t, refused(t, good, backup.Target{Key: newKey(t)}), backup.ErrForeign)
	// Signed by a gateway's key, but with another one's database in it.
	s := source(t, key)
	s.Database = database(t, newKey(t))
	require.ErrorIs(t, refused(t, write(t, s), backup.Target{}), backup.ErrForeign)
	require.ErrorIs(t, refused(t, nil, backup.Target{}), backup.ErrDamaged)
	require.ErrorIs(t, refused(t, []byte("not a backup at all"), backup.Target{}), backup.ErrDamaged)
	// Cut off anywhere. The archive ends with zeros that mean nothing and may lack.
	for n := 0; n < len(good)-2048; n += len(good)/60 + 1 {
		require.Error(t, refused(t, good[:n], backup.Target{}), "cut off after %d bytes", n)
	}
	s = source(t, key)
	s.Passphrase = []byte("short")
	_, err := backup.Write(io.Discard, s)
	require.ErrorContains(t, err, "passphrase")
}

// entries takes an archive apart, and join puts one together.
type entry struct {
	name string
	body []byte
}

func entries(t *testing.T, b []byte) (es []entry) {
	tr := tar.NewReader(bytes.NewReader(b))
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return es
		}
		require.NoError(t, err)
		body, err := io.ReadAll(tr)
		require.NoError(t, err)
		es = append(es, entry{h.Name, body})
	}
}

func join(t *testing.T, es []entry) []byte {
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	for _, e := range es {
		require.NoError(t, tw.WriteHeader(&tar.Header{Name: e.name, Mode: 0o600, Size: int64(len(e.body)), Format: tar.FormatPAX}))
		_, err := tw.Write(e.body)
		require.NoError(t, err)
	}
	require.NoError(t, tw.Close())
	return b.Bytes()
}

func TestTampered(t *testing.T) {
	key := newKey(t)
	good := write(t, source(t, key))
	fresh := func() []entry { return entries(t, good) }
	last := len(fresh()) - 1

	for i := range fresh() {
		es := fresh()
		if len(es[i].body) == 0 {
			continue
		}
		es[i].body[len(es[i].body)/2] ^= 1
		refused(t, join(t, es), backup.Target{})
		es = fresh()
		es[i].body = append(es[i].body, 'x')
		refused(t, join(t, es), backup.Target{})
		refused(t, join(t, append(fresh()[:i], fresh()[i+1:]...)), backup.Target{})
	}
	refused(t, join(t, append(fresh(), entry{"scheduler/more", []byte("x")})), backup.Target{})
	swapped := fresh()
	swapped[2], swapped[3] = swapped[3], swapped[2]
	refused(t, join(t, swapped), backup.Target{})

	// Somebody who makes the manifest fit, but has not the key.
	var m backup.Manifest
	es := fresh()
	require.NoError(t, json.Unmarshal(es[0].body, &m))
	m.Final = true
	b, err := json.Marshal(m)
	require.NoError(t, err)
	es[0].body = b
	require.ErrorContains(t, refused(t, join(t, es), backup.Target{}), "signed")

	// Names that lead elsewhere.
	for _, name := range []string{"scheduler/../gateway.key", "/etc/passwd", "scheduler/a/b", "scheduler/.hidden", "other"} {
		m := m
		m.Files = append([]backup.File(nil), m.Files...)
		m.Files[0].Name = name
		b, err := json.Marshal(m)
		require.NoError(t, err)
		es := fresh()
		es[0].body = b
		require.ErrorIs(t, refused(t, join(t, es), backup.Target{}), backup.ErrDamaged)
	}

	// Another gateway's key inside, under our passphrase.
	other := entries(t, write(t, source(t, newKey(t))))
	es = fresh()
	es[last] = other[len(other)-1]
	refused(t, join(t, es), backup.Target{})
}

// FuzzRestore: whatever the archive, it is refused or restored, and nothing is written
// outside the directory.
func FuzzRestore(f *testing.F) {
	key := newKey(f)
	s := source(f, key)
	s.Passphrase = nil
	f.Add(write(f, s))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		parent := t.TempDir()
		dir := filepath.Join(parent, "gateway")
		_, _, _ = backup.Restore(bytes.NewReader(b), backup.Target{Dir: dir, Key: key})
		left, err := os.ReadDir(parent)
		require.NoError(t, err)
		require.LessOrEqual(t, len(left), 1)
	})
}
