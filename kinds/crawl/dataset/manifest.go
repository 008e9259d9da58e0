package dataset

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/kinds/crawl"
	"github.com/cantus-network/cantus/kinds/crawl/text"
	"github.com/cantus-network/cantus/work"
)

// Parameters are the manifest's: what was asked for and what came of it.
type Parameters struct {
	Crawl   Asked  `json:"crawl"`
	Buyer   string `json:"buyer"`
	Gateway string `json:"gateway"`
	From    int64  `json:"from"` // first and last request, Unix milliseconds
	To      int64  `json:"to"`
	Text    string `json:"text"` // version of the text form
	Tool    string `json:"tool"`
	License string `json:"license"`
	Label   string `json:"label"`
	Counts  Counts `json:"counts"`
}

// Asked is the job's spec as people read it. The spec itself is in spec.cbor.
type Asked struct {
	Seeds     []string `json:"seeds"` // the first of them
	SeedCount int      `json:"seed_count"`
	Scope     string   `json:"scope"`
	MaxPages  uint64   `json:"max_pages"`
	MaxDepth  uint32   `json:"max_depth"`
	MaxBytes  uint64   `json:"max_bytes"`
	Rate      uint32   `json:"rate"`
	Sitemaps  bool     `json:"sitemaps"`
}

// maxSeedBytes keeps parameters short: a spec may have thousands of seeds.
const maxSeedBytes = 16 << 10

func asked(s crawl.Spec) Asked {
	a := Asked{SeedCount: len(s.Seeds), Scope: string(s.Scope), MaxPages: s.MaxPages, MaxDepth: s.MaxDepth,
		MaxBytes: s.MaxBytes, Rate: s.Rate, Sitemaps: s.Sitemaps, Seeds: []string{}}
	n := 0
	for _, u := range s.Seeds {
		if n += len(u); n > maxSeedBytes {
			break
		}
		a.Seeds = append(a.Seeds, u)
	}
	return a
}

func parameters(meta Meta, spec crawl.Spec, s survey, c Counts) Parameters {
	return Parameters{Crawl: asked(spec), Buyer: meta.Job.Buyer, Gateway: meta.Job.Gateway,
		From: s.from, To: s.to, Text: text.Version, Tool: meta.Tool, License: meta.License,
		Label: string(label(meta.Epochs)), Counts: c}
}

// label is how the dataset was checked: as its least checked epoch.
func label(epochs []work.Epoch) work.Label {
	weakest := make([]work.Label, 0, len(epochs))
	for _, e := range epochs {
		if e.Receipts.Leaves == 0 {
			continue
		}
		l := e.Label
		if l.Check() != nil {
			l = work.Asserted
		}
		weakest = append(weakest, l)
	}
	return work.Weakest(weakest...)
}

func manifest(meta Meta, p Parameters, files []artifact.File) (artifact.Manifest, error) {
	raw, err := artifact.Canonical(p)
	if err != nil {
		return artifact.Manifest{}, fmt.Errorf("write %s: %w", manifestFile, err)
	}
	m := artifact.Manifest{
		Format:     artifact.ManifestFormat,
		Type:       "dataset",
		Title:      title(p.Crawl),
		Files:      files,
		Parameters: raw,
		Origin: &artifact.Origin{
			Chain: meta.Chain, Job: uint64(meta.Job.ID), Kind: string(crawl.Name), SettledRoot: meta.Job.SettledRoot,
		},
	}
	for _, e := range meta.Epochs {
		m.Origin.Epochs = append(m.Origin.Epochs, artifact.Epoch{
			Number: e.Number, Root: artifact.Digest(e.Receipts.Hash), Receipts: e.Receipts.Leaves,
			Units: e.Receipts.Sum, Height: e.CommitHeight,
		})
	}
	return m, nil
}

func title(a Asked) string {
	if len(a.Seeds) == 0 {
		return "Crawl"
	}
	t := "Crawl of " + a.Seeds[0]
	if len(t) > 200 {
		t = t[:200] // canonical URLs are ASCII
	}
	if a.SeedCount > 1 {
		t += fmt.Sprintf(" and %d more", a.SeedCount-1)
	}
	return t
}

// readManifest reads dataset.json and returns it with its encoding.
func readManifest(dir string) (artifact.Manifest, []byte, error) {
	b, err := readSmall(dir, manifestFile, artifact.MaxManifest)
	if err != nil {
		return artifact.Manifest{}, nil, err
	}
	m, err := artifact.DecodeManifest(b)
	if err != nil {
		return artifact.Manifest{}, b, fmt.Errorf("read %s: %w", filepath.Join(dir, manifestFile), err)
	}
	return m, b, nil
}

// readParameters reads those of a manifest of ours, and refuses any other's.
func readParameters(m artifact.Manifest) (Parameters, error) {
	var p Parameters
	if m.Type != "dataset" || m.Origin == nil || m.Origin.Kind != string(crawl.Name) {
		return p, fmt.Errorf("%w: %s is not of a dataset that a job of kind %s made", ErrFormat, manifestFile, crawl.Name)
	}
	d := json.NewDecoder(bytes.NewReader(m.Parameters))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return p, fmt.Errorf("%w: parameters in %s: %w", ErrFormat, manifestFile, err)
	}
	again, err := artifact.Canonical(p)
	if err != nil || !bytes.Equal(again, m.Parameters) {
		return p, fmt.Errorf("%w: parameters in %s: another form of the same", ErrFormat, manifestFile)
	}
	if p.Text != text.Version {
		return p, fmt.Errorf("%w: its text is of the form %.40q, and this program extracts %q: use a program of that form's time", ErrFormat, p.Text, text.Version)
	}
	return p, nil
}

// openRegular opens a file of a dataset. The directory may come from a stranger: links
// are not followed out of it, and what is no plain file, like a pipe that would never
// answer, is refused.
func openRegular(dir, name string) (*os.File, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("read the dataset: %w", err)
	}
	defer root.Close()
	name = filepath.FromSlash(name)
	info, err := root.Lstat(name)
	if err != nil {
		return nil, fmt.Errorf("read the dataset: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s is not a plain file", ErrFormat, name)
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read the dataset: %w", err)
	}
	return f, nil
}

// readSmall reads a file of at most limit bytes.
func readSmall(dir, name string, limit int64) ([]byte, error) {
	f, err := openRegular(dir, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read the dataset: %w", err)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%w: %s has more than %d bytes", ErrFormat, name, limit)
	}
	return b, nil
}

// statement is the lineage that is signed.
func statement(m artifact.Manifest, encoded []byte, p Parameters) artifact.Statement {
	// The time of the last request, in whole seconds: a dataset has no other clock.
	created := time.UnixMilli(p.To + 999).UTC().Truncate(time.Second)
	origin := *m.Origin
	origin.Epochs = nil // they are in the manifest
	return artifact.Statement{
		Subjects: []artifact.Subject{{Name: manifestFile, SHA256: artifact.Sum(encoded)}},
		Lineage: artifact.Lineage{
			Type: m.Type, CID: artifact.ManifestCID(encoded), Origin: &origin, License: p.License,
			Parameters: m.Parameters, Label: p.Label, Created: created,
		},
	}
}
