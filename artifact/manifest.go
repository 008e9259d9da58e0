package artifact

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"unicode/utf8"
)

// ManifestFormat is the value of every manifest's Format.
const ManifestFormat = "https://cantus.network/manifest/v1"

// MaxManifest bounds a manifest's encoding.
const MaxManifest = 16 << 20

const (
	maxFiles      = 1 << 16
	maxEpochs     = 1 << 16
	maxText       = 1024     // of a title
	maxParameters = 64 << 10 // of the parameters' encoding
)

// ErrManifest marks a manifest, or its encoding, that says something impossible.
var ErrManifest = errors.New("bad manifest")

// ErrMismatch is returned where files are not what a manifest says.
var ErrMismatch = errors.New("files differ from their manifest")

// Manifest lists the files of one artifact and says which job made them. Its encoding is a
// blob, whose CID names the artifact.
type Manifest struct {
	Format string `json:"format"` // ManifestFormat
	Type   string `json:"type"`   // what it is: "dataset", "model", "answer"
	Title  string `json:"title,omitempty"`
	Files  []File `json:"files"` // sorted by name
	// Origin is the job that made the artifact; nil where none did.
	Origin *Origin `json:"origin,omitempty"`
	// Parameters is what the job was asked for: a JSON object in canonical form, as
	// Canonical writes it.
	Parameters json.RawMessage `json:"parameters,omitempty"`
}

// File is one file of an artifact.
type File struct {
	Name      string `json:"name"` // see CheckName
	Size      int64  `json:"size"`
	SHA256    Digest `json:"sha256"`
	MediaType string `json:"media_type,omitempty"` // without parameters
}

// Origin is the job that made an artifact, as the ledger settled it.
type Origin struct {
	Chain       string  `json:"chain"`
	Job         uint64  `json:"job"`
	Kind        string  `json:"kind,omitempty"`
	SettledRoot Digest  `json:"settled_root"`
	Epochs      []Epoch `json:"epochs,omitempty"` // the settled ones
}

// Epoch is one settled epoch of a job: where the ledger has the root of its receipts.
type Epoch struct {
	Number   uint64 `json:"number"`
	Root     Digest `json:"root"` // of the receipts
	Receipts uint64 `json:"receipts"`
	Units    uint64 `json:"units"`
	Height   int64  `json:"height"` // of the block with the commitment
}

var (
	typePattern  = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)
	mediaPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9!#$&^_.+-]{0,62}/[a-z0-9][a-z0-9!#$&^_.+-]{0,62}$`)
	kindPattern  = regexp.MustCompile(`^[a-z][a-z0-9-]{0,30}/[1-9][0-9]{0,3}$`)
	chainPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
)

// CheckType refuses what is no artifact's type and no parent's role: a word like "dataset"
// or "base-model".
func CheckType(s string) error {
	if !typePattern.MatchString(s) {
		return fmt.Errorf("type %.40q: want a word of lower-case letters, digits and dashes, like dataset", s)
	}
	return nil
}

// Check refuses a manifest that says something impossible.
func (m Manifest) Check() error {
	if err := m.check(); err != nil {
		return fmt.Errorf("%w: %w", ErrManifest, err)
	}
	return nil
}

func (m Manifest) check() error {
	if m.Format != ManifestFormat {
		return fmt.Errorf("format %.60q, want %s", m.Format, ManifestFormat)
	}
	if err := CheckType(m.Type); err != nil {
		return err
	}
	if len(m.Title) > maxText || !utf8.ValidString(m.Title) {
		return fmt.Errorf("a title of %d bytes: want at most %d bytes of UTF-8", len(m.Title), maxText)
	}
	if len(m.Files) == 0 || len(m.Files) > maxFiles {
		return fmt.Errorf("%d files, want 1 to %d", len(m.Files), maxFiles)
	}
	if err := checkNames(m.Files); err != nil {
		return err
	}
	var total int64
	for _, f := range m.Files {
		switch {
		case f.Size < 0 || f.Size > maxJSONInt-total:
			return fmt.Errorf("file %q: a size of %d bytes", f.Name, f.Size)
		case f.SHA256.IsZero():
			return fmt.Errorf("file %q has no digest", f.Name)
		case f.MediaType != "" && !mediaPattern.MatchString(f.MediaType):
			return fmt.Errorf("file %q: media type %.60q: want one like text/html, without parameters", f.Name, f.MediaType)
		}
		total += f.Size
	}
	if m.Origin != nil {
		if err := m.Origin.check(); err != nil {
			return err
		}
	}
	return checkParameters(m.Parameters)
}

func (o Origin) check() error {
	switch {
	case !chainPattern.MatchString(o.Chain):
		return fmt.Errorf("chain ID %.40q", o.Chain)
	case o.Job == 0 || o.Job > maxJSONInt:
		return fmt.Errorf("job %d: jobs count from 1", o.Job)
	case o.Kind != "" && !kindPattern.MatchString(o.Kind):
		return fmt.Errorf("kind %.40q: want one like crawl/1", o.Kind)
	case o.SettledRoot.IsZero():
		return fmt.Errorf("job %d of %s: no settled root", o.Job, o.Chain)
	case len(o.Epochs) > maxEpochs:
		return fmt.Errorf("%d epochs, at most %d", len(o.Epochs), maxEpochs)
	}
	for i, e := range o.Epochs {
		if e.Number == 0 || i > 0 && e.Number <= o.Epochs[i-1].Number {
			return fmt.Errorf("epoch %d comes after %d epochs: want them in their order, from 1", e.Number, i)
		}
		if e.Root.IsZero() || e.Height < 0 {
			return fmt.Errorf("epoch %d: no root or no height", e.Number)
		}
	}
	return nil
}

func checkParameters(b json.RawMessage) error {
	if b == nil {
		return nil
	}
	_, err := decodeCanonical[map[string]json.RawMessage](b, maxParameters)
	if err == nil && b[0] != '{' { // null is a map too
		err = ErrCanonical
	}
	if err != nil {
		return fmt.Errorf("parameters: want a JSON object in canonical form: %w", err)
	}
	return nil
}

// Encode writes a checked manifest in its one form, canonical JSON.
func (m Manifest) Encode() ([]byte, error) {
	if err := m.Check(); err != nil {
		return nil, err
	}
	b, err := Canonical(m)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrManifest, err)
	}
	if len(b) > MaxManifest {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrManifest, len(b), MaxManifest)
	}
	return b, nil
}

// DecodeManifest reads what Encode writes, and nothing else.
func DecodeManifest(b []byte) (Manifest, error) {
	m, err := decodeCanonical[Manifest](b, MaxManifest)
	if err != nil {
		return Manifest{}, fmt.Errorf("%w: %w", ErrManifest, err)
	}
	if err := m.Check(); err != nil {
		return Manifest{}, err
	}
	return m, nil
}

// ManifestCID is the CID of an encoded manifest: the name of the artifact that it lists.
func ManifestCID(encoded []byte) string { return CID(JSON, Sum(encoded)) }

// Describe measures the file called name in dir for a manifest.
func Describe(ctx context.Context, dir, name, mediaType string) (File, error) {
	if err := CheckName(name); err != nil {
		return File{}, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return File{}, fmt.Errorf("describe %s in %s: %w", name, dir, err)
	}
	defer root.Close()
	sum, size, err := hashFile(ctx, root, name, -1)
	if err != nil {
		return File{}, fmt.Errorf("describe %s in %s: %w", name, dir, err)
	}
	return File{Name: name, Size: size, SHA256: sum, MediaType: mediaType}, nil
}

// maxMismatches bounds how many files VerifyDir reports.
const maxMismatches = 20

// VerifyDir checks that the files in dir are what the manifest says and returns
// ErrMismatch with each one that is not. Files that the manifest does not name are
// ignored. It never reads outside of dir, whatever links are in it.
func (m Manifest) VerifyDir(ctx context.Context, dir string) error {
	if err := m.Check(); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("verify the files in %s: %w", dir, err)
	}
	defer root.Close()
	var bad []error
	for _, f := range m.Files {
		err := verifyFile(ctx, root, f)
		if ctx.Err() != nil {
			return fmt.Errorf("verify the files in %s: %w", dir, ctx.Err())
		}
		if err == nil {
			continue
		}
		if bad = append(bad, fmt.Errorf("%s: %w", filepath.Join(dir, filepath.FromSlash(f.Name)), err)); len(bad) == maxMismatches {
			bad = append(bad, errors.New("and perhaps more"))
			break
		}
	}
	if bad != nil {
		return fmt.Errorf("%w:\n%w", ErrMismatch, errors.Join(bad...))
	}
	return nil
}

func verifyFile(ctx context.Context, root *os.Root, f File) error {
	sum, size, err := hashFile(ctx, root, f.Name, f.Size)
	switch {
	case err != nil:
		return err
	case size != f.Size:
		return fmt.Errorf("%d bytes, the manifest says %d", size, f.Size)
	case sum != f.SHA256:
		return fmt.Errorf("SHA-256 is %s, the manifest says %s", sum, f.SHA256)
	}
	return nil
}

// hashFile reads a regular file of the given size, or of any if that is negative. Where the
// size differs it says so without reading.
func hashFile(ctx context.Context, root *os.Root, name string, want int64) (Digest, int64, error) {
	name = filepath.FromSlash(name)
	// Looked at before it is opened: opening a pipe would wait for its writer.
	info, err := root.Lstat(name)
	if err != nil {
		return Digest{}, 0, err
	}
	if !info.Mode().IsRegular() {
		return Digest{}, 0, errors.New("not a regular file")
	}
	if want >= 0 && info.Size() != want {
		return Digest{}, info.Size(), nil
	}
	file, err := root.Open(name)
	if err != nil {
		return Digest{}, 0, err
	}
	defer file.Close()
	h := sha256.New()
	n, err := io.Copy(h, contextReader{ctx, file})
	if err != nil {
		return Digest{}, n, err
	}
	return Digest(h.Sum(nil)), n, nil
}

// contextReader stops reading once its context ends.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
