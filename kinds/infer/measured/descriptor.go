package measured

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/work"
)

// ErrDescriptor marks a descriptor that orders nothing which could be measured.
var ErrDescriptor = errors.New("not a valid description of a measured model")

// Version of descriptors and of evidence.
const Version = 1

const (
	maxDescriptor = 64 << 10
	maxName       = 100
)

// Descriptor is a model as buyers order it of foreign servers. Its digest takes the place of a
// model's root in tabs and tasks: it says whose tokens they are, what is served, and by which
// noise answers are told from those of a worse model. Who changes any of it has another model.
type Descriptor struct {
	_       struct{} `cbor:",toarray"`
	Version uint8
	Name    string // of the model, for people: its family, size and type of weights
	// Root is the root of the model's file as `cantus model import` makes it of the same
	// original. Gateways and workers have its vocabulary by it; the weights are not used.
	Root    artifact.Digest
	Backend string // what the calibration was made with, for people: programs, releases, types
	Noise   Calibration
}

// Check says what would be right where a field is wrong.
func (d *Descriptor) Check() error {
	bad := func(format string, a ...any) error {
		return fmt.Errorf("%w: %s", ErrDescriptor, fmt.Sprintf(format, a...))
	}
	switch {
	case d.Version != Version:
		return bad("version %d: this program knows version %d", d.Version, Version)
	case d.Name == "" || len(d.Name) > maxName || d.Backend == "" || len(d.Backend) > maxName:
		return bad("model %.20q and backend %.20q: want names of 1 to %d bytes", d.Name, d.Backend, maxName)
	case d.Root.IsZero():
		return bad("no root of a model's file")
	}
	if err := d.Noise.Check(); err != nil {
		return fmt.Errorf("%w: %w", ErrDescriptor, err)
	}
	return nil
}

// Digest is what tabs and tasks call the model. It can't be the root of a model's file: that
// is a hash of something else.
func (d *Descriptor) Digest() (artifact.Digest, error) {
	if err := d.Check(); err != nil {
		return artifact.Digest{}, err
	}
	b, err := work.Encode(d)
	if err != nil {
		return artifact.Digest{}, fmt.Errorf("encode the description of %s: %w", d.Name, err)
	}
	return artifact.Sum(append([]byte("cantus/measured-model/1\x00"), b...)), nil
}

// ParseDescriptor reads a descriptor as JSON.
func ParseDescriptor(b []byte) (*Descriptor, error) {
	if len(b) > maxDescriptor {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrDescriptor, len(b), maxDescriptor)
	}
	d := new(Descriptor)
	r := json.NewDecoder(bytes.NewReader(b))
	r.DisallowUnknownFields()
	if err := r.Decode(d); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDescriptor, err)
	}
	if _, err := r.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: something follows it", ErrDescriptor)
	}
	return d, d.Check()
}

// JSON is how a descriptor is kept and passed on.
func (d *Descriptor) JSON() ([]byte, error) {
	if err := d.Check(); err != nil {
		return nil, err
	}
	b, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the description of %s: %w", d.Name, err)
	}
	return append(b, '\n'), nil
}
