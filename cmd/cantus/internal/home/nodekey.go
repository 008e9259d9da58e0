package home

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cantus-network/cantus/work"
)

// NodeKey reads a node key from a file, which is made when it is not there.
func NodeKey(path string) (work.PrivateKey, error) {
	k, err := ReadNodeKey(path)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return k, err
	}
	if k, err = work.GenerateKey(rand.Reader); err != nil {
		return k, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return k, fmt.Errorf("write the node key: %w", err)
	}
	if err := os.WriteFile(path, k.Seed(), 0o600); err != nil {
		return k, fmt.Errorf("write the node key: %w", err)
	}
	return k, nil
}

// ReadNodeKey reads a node key from a file.
func ReadNodeKey(path string) (work.PrivateKey, error) {
	seed, err := os.ReadFile(path)
	if err != nil {
		return work.PrivateKey{}, fmt.Errorf("node key: %w", err)
	}
	k, err := work.PrivateKeyFromSeed(seed)
	if err != nil {
		return k, fmt.Errorf("node key %s: %w", path, err)
	}
	return k, nil
}
