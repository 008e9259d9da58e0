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
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/scheduler"
	"github.com/cantus-network/cantus/work"
)

var (
	// ErrDamaged is returned for a backup that is cut off or was altered.
	ErrDamaged = errors.New("the backup is damaged")
	// ErrForeign is returned for a backup of another gateway, or for no backup at all.
	ErrForeign = errors.New("this is no backup of this gateway")
)

// Target is where a backup goes.
type Target struct {
	// Dir is the gateway's directory. It must not have a database.
	Dir string
	// Key is the gateway's node key where it is already there; the zero key where it is
	// to come out of the backup.
	Key work.PrivateKey
	// Chain is the network that the backup must be of; empty for any.
	Chain string
	// Passphrase is asked for the key's, when the key is wanted.
	Passphrase func() ([]byte, error)
}

// Restore checks a backup and puts its database in its place. It returns the gateway's key,
// which the caller writes where it keeps it. Unless all of the backup is good, Dir is left
// as it was.
func Restore(r io.Reader, t Target) (Manifest, work.PrivateKey, error) {
	m, key, err := restore(r, t)
	if err != nil {
		err = fmt.Errorf("restore the gateway: %w", err)
	}
	return m, key, err
}

func restore(r io.Reader, t Target) (m Manifest, key work.PrivateKey, err error) {
	database := filepath.Join(t.Dir, "scheduler")
	if _, err := os.Lstat(database); !errors.Is(err, fs.ErrNotExist) {
		return m, key, fmt.Errorf("there is a database in %s: a gateway has one past only; move it away if it is lost anyway (%w)", database, errors.Join(err, fs.ErrExist))
	}
	if err := os.MkdirAll(t.Dir, 0o700); err != nil {
		return m, key, err
	}
	tr := tar.NewReader(r)
	if m, err = readManifest(tr); err != nil {
		return m, key, err
	}
	known := !isZero(t.Key)
	switch {
	case known && t.Key.Public() != m.Gateway:
		return m, key, fmt.Errorf("%w: it is of gateway %s, the key here is that of %s", ErrForeign, m.Gateway.Short(), t.Key.Public().Short())
	case t.Chain != "" && t.Chain != m.Chain:
		return m, key, fmt.Errorf("%w: it is of the network %s, this is %s", ErrForeign, m.Chain, t.Chain)
	case !known && m.Files[len(m.Files)-1].Name != keyName:
		return m, key, fmt.Errorf("the backup is without the node key: put gateway.key of gateway %s into %s first", m.Gateway, t.Dir)
	}
	tmp, err := os.MkdirTemp(t.Dir, "restoring-")
	if err != nil {
		return m, key, err
	}
	defer os.RemoveAll(tmp)
	sealed, err := extract(tr, m, tmp)
	if err != nil {
		return m, key, err
	}
	if key = t.Key; !known {
		passphrase, err := t.Passphrase()
		if err != nil {
			return m, key, err
		}
		if key, err = unseal(sealed, m.Gateway, passphrase); err != nil {
			return m, key, err
		}
	}
	chain, owner, err := scheduler.Owner(tmp)
	if err != nil {
		return m, key, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if chain != m.Chain || owner != m.Gateway {
		return m, key, fmt.Errorf("%w: its database is of gateway %s on %s", ErrForeign, owner.Short(), chain)
	}
	if !m.Final {
		why := fmt.Sprintf("this gateway was restored from a backup of %s: what it promised since is not known here", m.Made.Format(time.RFC3339))
		if err := scheduler.Fence(tmp, why); err != nil {
			return m, key, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
	}
	if err := os.Rename(tmp, database); err != nil {
		return m, key, err
	}
	return m, key, syncDir(t.Dir)
}

func isZero(k work.PrivateKey) bool { return k.Public().IsZero() }

// entry reads the next entry's header, which must be a plain file of that name.
func entry(tr *tar.Reader, name string) (size int64, err error) {
	h, err := tr.Next()
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return 0, fmt.Errorf("%w: before %s: %w", ErrDamaged, name, err)
	}
	if h.Name != name || h.Typeflag != tar.TypeReg {
		return 0, fmt.Errorf("%w: %.80q where %s is expected", ErrDamaged, h.Name, name)
	}
	return h.Size, nil
}

func readManifest(tr *tar.Reader) (m Manifest, err error) {
	read := func(name string, limit int64) ([]byte, error) {
		size, err := entry(tr, name)
		if err != nil {
			return nil, err
		}
		if size > limit {
			return nil, fmt.Errorf("%w: %s has %d bytes", ErrDamaged, name, size)
		}
		b, err := io.ReadAll(tr)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrDamaged, name, err)
		}
		return b, nil
	}
	b, err := read(manifestName, maxManifest)
	if err != nil {
		return m, err
	}
	if err := strict(b, &m); err != nil {
		return m, fmt.Errorf("%w: %s: %v", ErrDamaged, manifestName, err)
	}
	if err := m.check(); err != nil {
		return m, err
	}
	text, err := read(signatureName, 2*ed25519.SignatureSize)
	if err != nil {
		return m, err
	}
	signature, err := hex.DecodeString(string(text))
	if err != nil || !ed25519.Verify(m.Gateway[:], signed(b), signature) {
		return m, fmt.Errorf("%w: it is not signed by the gateway that it names", ErrDamaged)
	}
	return m, nil
}

// extract writes the database's files to dir, each verified, and returns the encrypted key.
func extract(tr *tar.Reader, m Manifest, dir string) (key []byte, err error) {
	for _, f := range m.Files {
		size, err := entry(tr, f.Name)
		if err != nil {
			return nil, err
		}
		if size != f.Size {
			return nil, fmt.Errorf("%w: %s has %d bytes, the manifest says %d", ErrDamaged, f.Name, size, f.Size)
		}
		var b bytes.Buffer
		h := sha256.New()
		if f.Name == keyName {
			_, err = io.Copy(io.MultiWriter(&b, h), tr)
			key = b.Bytes()
		} else {
			err = write(filepath.Join(dir, strings.TrimPrefix(f.Name, databaseDir)), io.TeeReader(tr, h))
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, damaged(err))
		}
		if artifact.Digest(h.Sum(nil)) != f.SHA256 {
			return nil, fmt.Errorf("%w: %s was altered", ErrDamaged, f.Name)
		}
	}
	if h, err := tr.Next(); !errors.Is(err, io.EOF) {
		name := ""
		if h != nil {
			name = h.Name
		}
		return nil, fmt.Errorf("%w: %.80q follows the last file: %w", ErrDamaged, name, errors.Join(err, fs.ErrInvalid))
	}
	return key, syncDir(dir)
}

// damaged tells what the archive does wrong from what the disk does.
func damaged(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, tar.ErrHeader) {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}

func write(path string, r io.Reader) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func strict(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the value")
	}
	return nil
}
