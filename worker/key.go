package worker

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/cantus-network/cantus/work"
)

// ErrNoKey means that there is no key file where one is wanted.
var ErrNoKey = errors.New("no node key")

// LoadKey reads a node key from a file that only its owner can read.
func LoadKey(path string) (work.PrivateKey, error) {
	fail := func(err error) (work.PrivateKey, error) {
		return work.PrivateKey{}, fmt.Errorf("read the node key %s: %w", path, err)
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return work.PrivateKey{}, fmt.Errorf("%w in %s: make one with the key command", ErrNoKey, path)
	}
	if err != nil {
		return fail(err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return fail(fmt.Errorf("its mode is %v, so that others can read it: chmod 600 it, or make a new key if somebody may have", info.Mode().Perm()))
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return fail(err)
	}
	seed, err := hex.DecodeString(string(bytes.TrimSpace(b)))
	if err != nil {
		return fail(fmt.Errorf("%w: want one line of 64 hexadecimal digits", work.ErrKey))
	}
	key, err := work.PrivateKeyFromSeed(seed)
	if err != nil {
		return fail(err)
	}
	return key, nil
}

// CreateKey makes a node key and writes it to a new file, durably. It never overwrites.
func CreateKey(path string) (work.PrivateKey, error) {
	fail := func(err error) (work.PrivateKey, error) {
		return work.PrivateKey{}, fmt.Errorf("make a node key in %s: %w", path, err)
	}
	key, err := work.GenerateKey(rand.Reader)
	if err != nil {
		return fail(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fail(err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fail(err)
	}
	_, err = fmt.Fprintf(f, "%x\n", key.Seed())
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = syncPath(filepath.Dir(path))
	}
	if err != nil {
		return fail(errors.Join(err, os.Remove(path)))
	}
	return key, nil
}
