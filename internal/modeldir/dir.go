package modeldir

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/cantus-network/cantus/exact/modelfile"
)

// Errors that a caller tells apart.
var (
	ErrNone      = errors.New("no such model here")
	ErrAmbiguous = errors.New("several models are meant")
	ErrDamaged   = errors.New("the model's file is damaged")
	ErrMemory    = errors.New("the model is larger than the memory for it")
	ErrName      = errors.New("bad name for a model")
	ErrBusy      = errors.New("another process is pulling this model")
)

const (
	fileSuffix   = ".cantus"
	recordSuffix = ".json"
	partSuffix   = ".part"
	newPrefix    = ".new-"

	maxRecord = 1 << 16
	minPrefix = 4 // digits of a root that stand for it
	maxText   = 1000
)

// Dir is a directory of models.
type Dir struct{ path string }

// At is the directory with that path. It need not exist before something is put into it.
func At(path string) *Dir { return &Dir{path: path} }

// Path is where the directory is.
func (d *Dir) Path() string { return d.path }

// Entry is what is known of a model without loading it.
type Entry struct {
	Root       modelfile.Digest
	Name       string // here; the file has one of its own, in Config
	Source     string
	Licence    string
	Imported   time.Time
	Bytes      int64
	Parameters int64
	Config     modelfile.Config
	Problem    string // why the file can't be used; empty where nothing is known against it
}

// Hex is the root as it is written.
func (e *Entry) Hex() string { return hex.EncodeToString(e.Root[:]) }

// record is <root>.json, and an Entry for scripts.
type record struct {
	Root       string            `json:"root,omitempty"`
	Name       string            `json:"name"`
	Source     string            `json:"source,omitempty"`
	Licence    string            `json:"licence,omitempty"`
	Imported   time.Time         `json:"imported,omitzero"`
	Bytes      int64             `json:"bytes,omitempty"`
	Parameters int64             `json:"parameters,omitempty"`
	Config     *modelfile.Config `json:"config,omitempty"`
	Problem    string            `json:"problem,omitempty"`
}

// MarshalJSON implements json.Marshaler.
func (e Entry) MarshalJSON() ([]byte, error) {
	r := record{Root: e.Hex(), Name: e.Name, Source: e.Source, Licence: e.Licence, Imported: e.Imported, Bytes: e.Bytes, Parameters: e.Parameters, Problem: e.Problem}
	if e.Problem == "" {
		r.Config = &e.Config
	}
	return json.Marshal(r)
}

func (d *Dir) file(root modelfile.Digest, suffix string) string {
	return filepath.Join(d.path, hex.EncodeToString(root[:])+suffix)
}

// ParseRoot reads a root of 64 hexadecimal digits.
func ParseRoot(s string) (root modelfile.Digest, ok bool) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(root) {
		return root, false
	}
	return modelfile.Digest(b), true
}

// List gives all models, in the order of their names. Where there is no directory there
// are none.
func (d *Dir) List() ([]Entry, error) {
	files, err := os.ReadDir(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list models: %w", err)
	}
	var list []Entry
	for _, f := range files {
		stem, ok := strings.CutSuffix(f.Name(), fileSuffix)
		root, isRoot := ParseRoot(stem)
		if !ok || !isRoot || stem != strings.ToLower(stem) {
			continue
		}
		e, err := d.entry(root)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed meanwhile
		}
		if err != nil {
			e.Problem = err.Error()
		}
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b Entry) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Hex(), b.Hex()))
	})
	return list, nil
}

// entry reads what is known of one model. With an error it says what it could find out.
func (d *Dir) entry(root modelfile.Digest) (Entry, error) {
	e := Entry{Root: root}
	f, err := os.Open(d.file(root, fileSuffix))
	if err != nil {
		return e, fmt.Errorf("open model: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return e, fmt.Errorf("open model: %w", err)
	}
	e.Bytes, e.Imported = info.Size(), info.ModTime().UTC().Truncate(time.Second)
	r := d.record(root)
	e.Name, e.Source, e.Licence = r.Name, r.Source, r.Licence
	if !r.Imported.IsZero() {
		e.Imported = r.Imported
	}
	h, err := readHead(f, e.Bytes)
	if err == nil {
		e.Config, e.Parameters = h.Config, parameters(&h.Config)
	}
	if e.Name == "" {
		e.Name = plainName(e.Config.Name)
	}
	if e.Name == "" {
		e.Name = e.Hex()[:12]
	}
	return e, err
}

// record reads what lies beside a model. It only names it: one that is lost or unreadable
// takes nothing from the model.
func (d *Dir) record(root modelfile.Digest) record {
	var r record
	f, err := os.Open(d.file(root, recordSuffix))
	if err != nil {
		return r
	}
	defer f.Close()
	if json.NewDecoder(io.LimitReader(f, maxRecord)).Decode(&r) != nil || checkName(r.Name) != nil {
		return record{}
	}
	r.Source, r.Licence = line(r.Source), line(r.Licence)
	return r
}

// Find gives the model with that name, or that root, or the only one whose root begins so.
func (d *Dir) Find(ref string) (Entry, error) {
	list, err := d.List()
	if err != nil {
		return Entry{}, err
	}
	return find(list, ref, d.path)
}

func find(list []Entry, ref, where string) (Entry, error) {
	var named, begun []Entry
	for _, e := range list {
		switch {
		case strings.EqualFold(e.Hex(), ref):
			return e, nil
		case e.Name == ref:
			named = append(named, e)
		case len(ref) >= minPrefix && strings.HasPrefix(e.Hex(), strings.ToLower(ref)):
			begun = append(begun, e)
		}
	}
	if len(named) == 0 {
		named = begun
	}
	switch len(named) {
	case 1:
		return named[0], nil
	case 0:
		return Entry{}, fmt.Errorf("%w: %q in %s: %s", ErrNone, ref, where, known(list))
	}
	return Entry{}, fmt.Errorf("%w by %q: say which by more of its root: %s", ErrAmbiguous, ref, known(named))
}

// known says what there is to choose from.
func known(list []Entry) string {
	if len(list) == 0 {
		return "there is none yet"
	}
	var names []string
	for i, e := range list {
		if i == 10 {
			names = append(names, fmt.Sprintf("and %d more", len(list)-i))
			break
		}
		names = append(names, e.Name+" ("+e.Hex()[:12]+")")
	}
	return "there is " + strings.Join(names, ", ")
}

// Remove deletes a model. Who has it open keeps it until it is closed.
func (d *Dir) Remove(ref string) (Entry, error) {
	e, err := d.Find(ref)
	if err != nil {
		return e, err
	}
	if err := os.Remove(d.file(e.Root, fileSuffix)); err != nil {
		return e, fmt.Errorf("remove model %s: %w", e.Name, err)
	}
	if err := os.Remove(d.file(e.Root, recordSuffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return e, fmt.Errorf("remove model %s: %w", e.Name, err)
	}
	return e, nil
}

// checkName refuses what is no name: names are shown, typed, and part of requests.
func checkName(name string) error {
	if name == "" || len(name) > 100 {
		return fmt.Errorf("%w: %q has %d bytes: from 1 to 100", ErrName, name, len(name))
	}
	if _, isRoot := ParseRoot(name); isRoot {
		return fmt.Errorf("%w: %q would be taken for a root", ErrName, name)
	}
	for _, c := range name {
		if !nameRune(c) {
			return fmt.Errorf("%w: %q: letters, digits and any of - _ . : / @ + may be in it", ErrName, name)
		}
	}
	return nil
}

func nameRune(c rune) bool {
	return c < utf8.RuneSelf && (unicode.IsLetter(c) || unicode.IsDigit(c) || strings.ContainsRune("-_.:/@+", c))
}

// plainName makes a name of what a file calls itself; nothing, where that has no letter.
func plainName(s string) string {
	s = strings.Trim(strings.Map(func(c rune) rune {
		if nameRune(c) {
			return c
		}
		return '-'
	}, strings.Join(strings.Fields(s), "-")), "-./")
	if len(s) > 100 {
		s = s[:100]
	}
	if checkName(s) != nil {
		return ""
	}
	return s
}

// line makes one printable line of a text from outside.
func line(s string) string {
	s = strings.Map(func(c rune) rune {
		if c == utf8.RuneError || !unicode.IsPrint(c) {
			return ' '
		}
		return c
	}, s)
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "")
	}
	return strings.TrimSpace(s)
}
