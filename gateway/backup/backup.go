// Package backup writes a gateway's state to one file and brings it back.
//
//	backup.go   the file: Manifest, Write
//	restore.go  Restore
//	key.go      the node key under a passphrase
//
// The file is a tar archive: manifest.json, manifest.sig, then the files of a consistent
// copy of the scheduler's database, and last the node key, encrypted, unless it is left
// out. The manifest lists every file with its length and digest and is signed by the
// gateway's key, so that a file that was cut off, altered or put together by somebody else
// is refused before anything is used of it. The artifacts are not in it: they are named by
// their digests, and any tool can copy them.
//
// What a gateway promises after its backup was made is not in the backup. Restore therefore
// marks the database as restored, and the scheduler then does not go on with its jobs but
// commits and answers for what it has: see scheduler.Fence. Only a backup that Final marks,
// because the gateway that made it never ran again, is taken up as if nothing had happened.
package backup

import (
	"archive/tar"
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/work"
)

// Format names the file's form and its version.
const Format = "cantus/gateway-backup/1"

// The archive's entries.
const (
	manifestName  = "manifest.json"
	signatureName = "manifest.sig"
	databaseDir   = "scheduler/"
	keyName       = "gateway.key.encrypted"
)

const (
	maxManifest = 32 << 20
	maxFiles    = 200_000
	maxKey      = 8 << 10
)

// databaseFile is what a file of the database may be called.
var databaseFile = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

// Manifest is what a backup says of itself.
type Manifest struct {
	Format  string         `json:"format"`
	Chain   string         `json:"chain"`
	Gateway work.PublicKey `json:"gateway_key"`
	Made    time.Time      `json:"made"`
	Height  int64          `json:"height,omitempty"` // of the ledger as the gateway saw it; 0 where it did not run
	// Final says that the gateway did nothing after the backup and never will from where
	// it was made.
	Final bool   `json:"final"`
	Files []File `json:"files"`
}

// File is one entry of the archive.
type File struct {
	Name   string          `json:"name"`
	Size   int64           `json:"size"`
	SHA256 artifact.Digest `json:"sha256"`
}

func (m Manifest) check() error {
	switch {
	case m.Format != Format:
		return fmt.Errorf("%w: its form is %.60q, this program reads %q", ErrForeign, m.Format, Format)
	case m.Chain == "" || m.Gateway.IsZero():
		return fmt.Errorf("%w: it names no chain or no gateway", ErrDamaged)
	case len(m.Files) == 0 || len(m.Files) > maxFiles:
		return fmt.Errorf("%w: it lists %d files", ErrDamaged, len(m.Files))
	}
	seen := map[string]bool{}
	for i, f := range m.Files {
		name, db := strings.CutPrefix(f.Name, databaseDir)
		switch {
		case seen[f.Name], f.Size < 0:
			return fmt.Errorf("%w: %.80q is listed twice or with a length of %d", ErrDamaged, f.Name, f.Size)
		case db && databaseFile.MatchString(name):
		case f.Name == keyName && i == len(m.Files)-1 && f.Size <= maxKey:
		default:
			return fmt.Errorf("%w: %.80q does not belong into a backup", ErrDamaged, f.Name)
		}
		seen[f.Name] = true
	}
	return nil
}

// signed is what the gateway's key signs.
func signed(manifest []byte) []byte {
	return append([]byte(Format+"\n"), manifest...)
}

// Source is what a backup is made of.
type Source struct {
	Database string // directory with the copy; nobody may write to it meanwhile
	Chain    string
	Key      work.PrivateKey
	Height   int64
	Final    bool
	Made     time.Time
	// Passphrase encrypts the key into the backup; nil leaves the key out.
	Passphrase []byte
}

// Write writes a backup.
func Write(w io.Writer, s Source) (Manifest, error) {
	fail := func(err error) (Manifest, error) { return Manifest{}, fmt.Errorf("write the backup: %w", err) }
	m := Manifest{Format: Format, Chain: s.Chain, Gateway: s.Key.Public(), Made: s.Made.UTC().Truncate(time.Second), Height: s.Height, Final: s.Final}
	entries, err := os.ReadDir(s.Database)
	if err != nil {
		return fail(err)
	}
	for _, e := range entries {
		if !copied(e.Name()) {
			continue
		}
		if !e.Type().IsRegular() || !databaseFile.MatchString(e.Name()) {
			return fail(fmt.Errorf("%s in %s does not belong into a database", e.Name(), s.Database))
		}
		f, err := describe(s.Database, e.Name())
		if err != nil {
			return fail(err)
		}
		m.Files = append(m.Files, f)
	}
	slices.SortFunc(m.Files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	var key []byte
	if s.Passphrase != nil {
		if key, err = seal(s.Key, s.Passphrase); err != nil {
			return fail(err)
		}
		m.Files = append(m.Files, File{Name: keyName, Size: int64(len(key)), SHA256: artifact.Sum(key)})
	}
	if err := m.check(); err != nil {
		return fail(err)
	}
	manifest, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return fail(err)
	}
	signature := ed25519.Sign(ed25519.NewKeyFromSeed(s.Key.Seed()), signed(manifest))
	tw := tar.NewWriter(w)
	if err := errors.Join(
		add(tw, manifestName, m.Made, int64(len(manifest)), bytes.NewReader(manifest)),
		add(tw, signatureName, m.Made, int64(hex.EncodedLen(len(signature))), strings.NewReader(hex.EncodeToString(signature))),
	); err != nil {
		return fail(err)
	}
	for _, f := range m.Files {
		if err := addFile(tw, s.Database, f, m.Made, key); err != nil {
			return fail(err)
		}
	}
	if err := tw.Close(); err != nil {
		return fail(err)
	}
	return m, nil
}

// copied leaves out what a database makes anew: its lock, and the room it sets aside.
func copied(name string) bool { return name != "LOCK" && name != "ballast" }

func describe(dir, name string) (File, error) {
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return File{}, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	return File{Name: databaseDir + name, Size: n, SHA256: artifact.Digest(h.Sum(nil))}, err
}

func addFile(tw *tar.Writer, dir string, f File, made time.Time, key []byte) error {
	if f.Name == keyName {
		return add(tw, f.Name, made, f.Size, bytes.NewReader(key))
	}
	r, err := os.Open(filepath.Join(dir, strings.TrimPrefix(f.Name, databaseDir)))
	if err != nil {
		return err
	}
	defer r.Close()
	h := sha256.New()
	if err := add(tw, f.Name, made, f.Size, io.TeeReader(io.LimitReader(r, f.Size), h)); err != nil {
		return err
	}
	if artifact.Digest(h.Sum(nil)) != f.SHA256 {
		return fmt.Errorf("%s changed while it was copied", f.Name)
	}
	return nil
}

func add(tw *tar.Writer, name string, made time.Time, size int64, r io.Reader) error {
	if err := tw.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: size, ModTime: made, Format: tar.FormatPAX}); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if n, err := io.Copy(tw, r); err != nil || n != size {
		return fmt.Errorf("%s: %d of %d bytes: %w", name, n, size, errors.Join(err, io.ErrUnexpectedEOF))
	}
	return nil
}
