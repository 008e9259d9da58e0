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
	seed, err := os.ReadFile(path)
	if err == nil {
		k, err := work.PrivateKeyFromSeed(seed)
		if err != nil {
			return k, fmt.Errorf("node key %s: %w", path, err)
		}
		return k, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return work.PrivateKey{}, fmt.Errorf("node key: %w", err)
	}
	k, err := work.GenerateKey(rand.Reader)
	if err != nil {
		return k, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return k, err
	}
	if err := os.WriteFile(path, k.Seed(), 0o600); err != nil {
		return k, fmt.Errorf("write the node key: %w", err)
	}
	return k, nil
}
