package measured

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/kinds/infer"
)

// ServeOptions are a worker's flags about its inference server.
type ServeOptions struct {
	URL string // --infer-backend
	// Models are --infer-backend-model NAME=BACKENDNAME: NAME is a descriptor's name or at
	// least four digits of its digest. Without any, the one descriptor of the shelf is served
	// by the one model of the server.
	Models  []string
	KeyFile string // --infer-backend-key-file: its first line is the server's bearer key
	Vocabs  infer.Models
}

const minPrefix = 4

// Serve connects to a server for each of the models, and fails if it can't serve one.
func Serve(ctx context.Context, s *Shelf, o ServeOptions) (map[artifact.Digest]Backend, error) {
	key, err := ReadKey(o.KeyFile)
	if err != nil {
		return nil, err
	}
	pairs := o.Models
	if len(pairs) == 0 {
		pairs = []string{"="}
	}
	list := map[artifact.Digest]Backend{}
	for _, pair := range pairs {
		name, theirs, ok := strings.Cut(pair, "=")
		if !ok || len(o.Models) > 0 && (name == "" || theirs == "") {
			return nil, fmt.Errorf("--infer-backend-model %q: want NAME=BACKENDNAME, a measured model here and its name there", pair)
		}
		digest, d, err := s.Find(name)
		if err != nil {
			return nil, fmt.Errorf("--infer-backend-model %q: %w", pair, err)
		}
		if list[digest] != nil {
			return nil, fmt.Errorf("--infer-backend-model %q: %s is served already", pair, d.Name)
		}
		card, err := o.Vocabs.Open(d.Root)
		if err != nil {
			return nil, fmt.Errorf("the vocabulary of %s (cantus model pull %s): %w", d.Name, d.Root, err)
		}
		if list[digest], err = Connect(ctx, HTTPOptions{URL: o.URL, Model: theirs, Key: key, Vocab: card.Config.Vocab}); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// ReadKey reads a bearer key from the first line of a file; there is none without a path.
func ReadKey(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	b, err := readBounded(path, 64<<10)
	if err != nil {
		return "", fmt.Errorf("read the inference server's key: %w", err)
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	key := string(bytes.TrimSpace(line))
	if key == "" || strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("read the inference server's key: the first line of %s is no bearer key", path)
	}
	return key, nil
}

// Find finds a descriptor by its name or a prefix of its digest; by "" if there is one alone.
func (s *Shelf) Find(name string) (artifact.Digest, *Descriptor, error) {
	list, err := s.List()
	if err != nil {
		return artifact.Digest{}, nil, err
	}
	var found []artifact.Digest
	var of *Descriptor
	for _, digest := range list {
		d, err := s.Get(digest)
		if err != nil {
			return artifact.Digest{}, nil, err
		}
		if name == "" || d.Name == name || len(name) >= minPrefix && strings.HasPrefix(digest.String(), name) {
			found, of = append(found, digest), d
		}
	}
	switch len(found) {
	case 0:
		return artifact.Digest{}, nil, fmt.Errorf("no measured model %q in %s: %w", name, s.dir, os.ErrNotExist)
	case 1:
		return found[0], of, nil
	}
	return artifact.Digest{}, nil, fmt.Errorf("%d measured models are called %q: name one by its digest (%s…)", len(found), name, found[0].String()[:12])
}
