package all

import (
	"context"
	"fmt"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/exact/model"
	"github.com/cantus-network/cantus/internal/modeldir"
	"github.com/cantus-network/cantus/kinds/infer"
)

// models is a directory of models as the kind infer asks for them.
type models struct{ dir *modeldir.Dir }

var _ infer.Models = models{}

// Models is a directory of models as the kind infer asks for them.
func Models(dir string) infer.Models { return models{modeldir.At(dir)} }

// List leaves out models that the directory has something against.
func (m models) List() ([]artifact.Digest, error) {
	entries, err := m.dir.List()
	if err != nil {
		return nil, err
	}
	var roots []artifact.Digest
	for _, e := range entries {
		if e.Problem == "" {
			roots = append(roots, artifact.Digest(e.Root))
		}
	}
	return roots, nil
}

func (m models) Open(root artifact.Digest) (*infer.Card, error) {
	h, err := m.dir.Open(root.String())
	if err != nil {
		return nil, err
	}
	return &infer.Card{Config: h.Config, Size: h.Bytes, Created: h.Imported, Tokenizer: h.Tokenizer}, nil
}

// Load sets no bound: the kind asks for a model only where its memory allows it.
func (m models) Load(root artifact.Digest) (*model.Model, error) {
	loaded, err := m.dir.Load(context.Background(), root.String(), 0)
	if err != nil {
		return nil, err
	}
	if artifact.Digest(loaded.Root) != root {
		return nil, fmt.Errorf("model %s: its file is of model %x", root, loaded.Root)
	}
	return loaded, nil
}

// File opens a model's file for whoever shows pieces of it.
func (m models) File(root artifact.Digest) (infer.ModelFile, int64, error) {
	f, e, err := m.dir.File(root.String())
	if err != nil {
		return nil, 0, err
	}
	return f, e.Bytes, nil
}
