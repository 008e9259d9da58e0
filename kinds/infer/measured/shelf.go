package measured

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/exact/model"
	"github.com/cantus-network/cantus/kinds/infer"
)

// maxDescriptors of one machine.
const maxDescriptors = 256

const suffix = ".measured.json"

// Shelf is the descriptors of a machine, in a directory, each in a file named by its digest.
type Shelf struct {
	dir string
}

// NewShelf takes a directory, which need not exist.
func NewShelf(dir string) *Shelf { return &Shelf{dir: dir} }

// Add keeps a descriptor.
func (s *Shelf) Add(d *Descriptor) (artifact.Digest, error) {
	digest, err := d.Digest()
	if err != nil {
		return digest, err
	}
	b, err := d.JSON()
	if err != nil {
		return digest, err
	}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return digest, fmt.Errorf("keep the description of %s: %w", d.Name, err)
	}
	if err := replace(filepath.Join(s.dir, digest.String()+suffix), b); err != nil {
		return digest, fmt.Errorf("keep the description of %s: %w", d.Name, err)
	}
	return digest, nil
}

// Get reads a descriptor by its digest.
func (s *Shelf) Get(digest artifact.Digest) (*Descriptor, error) {
	b, err := readBounded(filepath.Join(s.dir, digest.String()+suffix), maxDescriptor)
	if err != nil {
		return nil, fmt.Errorf("measured model %s: %w", digest, err)
	}
	d, err := ParseDescriptor(b)
	if err != nil {
		return nil, fmt.Errorf("measured model %s: %w", digest, err)
	}
	if is, err := d.Digest(); err != nil || is != digest {
		return nil, fmt.Errorf("measured model %s: %w: its file has the description of %s", digest, ErrDescriptor, is)
	}
	return d, nil
}

// List lists the digests of what is kept.
func (s *Shelf) List() ([]artifact.Digest, error) {
	entries, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list measured models: %w", err)
	}
	var list []artifact.Digest
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), suffix)
		if !ok || len(list) == maxDescriptors {
			continue
		}
		if d, err := artifact.ParseDigest(name); err == nil {
			list = append(list, d)
		}
	}
	return list, nil
}

// Models adds a machine's measured models to its others, so that the kind infer's routes and
// plans, which serve both kinds, find their vocabularies. What needs weights finds none.
func Models(inner infer.Models, s *Shelf) infer.Models { return shelved{inner, s} }

type shelved struct {
	infer.Models
	shelf *Shelf
}

// Open implements infer.Models.
func (m shelved) Open(root artifact.Digest) (*infer.Card, error) {
	d, err := m.shelf.Get(root)
	if errors.Is(err, fs.ErrNotExist) {
		return m.Models.Open(root)
	}
	if err != nil {
		return nil, err
	}
	c, err := m.Models.Open(d.Root)
	if err != nil {
		return nil, fmt.Errorf("the vocabulary of %s, a measured model: %w", d.Name, err)
	}
	return c, nil
}

// Load implements infer.Models.
func (m shelved) Load(root artifact.Digest) (*model.Model, error) {
	if d, err := m.shelf.Get(root); err == nil {
		return nil, fmt.Errorf("%s is a measured model: its answers can't be computed to the bit", d.Name)
	}
	return m.Models.Load(root)
}
