package dataset

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/work"
)

// A dataset is written into a directory inside of DIR and moved out of it when it is
// complete, dataset.json last but one, the signed statement last. While that directory is
// there, DIR is not a dataset but something that a rerun makes into one.
const (
	stageDir  = ".unfinished"
	stageMark = "job.json"
)

// ErrNotEmpty is returned for a directory with something else in it.
var ErrNotEmpty = errors.New("the directory holds something else")

// Names of the files at the top of DIR.
const (
	pagesFile    = "pages.parquet"
	indexFile    = "index.cdxj"
	specFile     = "spec.cbor"
	excludedFile = "excluded.json"
	manifestFile = "dataset.json"
	lineageFile  = "lineage.dsse.json"
	warcDir      = "warc"
	rejectedDir  = "rejected"
)

// moved are the things that are moved into DIR, in this order.
var moved = []string{warcDir, rejectedDir, receiptsFile, recordsFile, specFile, excludedFile, plantsFile,
	pagesFile, indexFile, manifestFile, lineageFile}

// mark says whose the unfinished files are.
type mark struct {
	Chain string     `json:"chain"`
	Job   work.JobID `json:"job"`
}

// stage is a dataset in the making.
type stage struct {
	dir  string // DIR
	temp string // where everything is written
}

// openStage prepares dir for the dataset of a job: it may be missing, empty, or left by
// a write of the same job that did not finish. done means that dir holds it already.
func openStage(dir string, m mark) (s *stage, done bool, err error) {
	s = &stage{dir: dir, temp: filepath.Join(dir, stageDir)}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, false, fmt.Errorf("write the dataset of job %d: %w", m.Job, err)
	}
	names, err := os.ReadDir(dir)
	if err != nil {
		return nil, false, fmt.Errorf("write the dataset of job %d: %w", m.Job, err)
	}
	line, err := json.Marshal(m)
	if err != nil {
		return nil, false, err
	}
	switch found, err := os.ReadFile(filepath.Join(s.temp, stageMark)); {
	case err == nil && bytes.Equal(found, line):
		if err := s.clear(); err != nil {
			return nil, false, err
		}
	case err == nil && len(found) > 0:
		return nil, false, fmt.Errorf("write the dataset of job %d to %s: %w: the unfinished dataset of another job (%.100s): choose another directory, or remove this one",
			m.Job, dir, ErrNotEmpty, found)
	case len(names) == 0:
	case len(names) == 1 && names[0].Name() == stageDir:
		// The machine stopped before the mark was written: nothing of worth is in there.
		if err := s.clear(); err != nil {
			return nil, false, err
		}
	default:
		if isDatasetOf(dir, m) {
			return s, true, nil
		}
		return nil, false, fmt.Errorf("write the dataset of job %d to %s: %w (%s): choose an empty or new directory",
			m.Job, dir, ErrNotEmpty, firstNames(names))
	}
	if err := os.MkdirAll(filepath.Join(s.temp, warcDir), 0o755); err != nil {
		return nil, false, fmt.Errorf("write the dataset of job %d: %w", m.Job, err)
	}
	if err := os.WriteFile(filepath.Join(s.temp, stageMark), line, 0o644); err != nil {
		return nil, false, fmt.Errorf("write the dataset of job %d: %w", m.Job, err)
	}
	return s, false, nil
}

func firstNames(names []fs.DirEntry) string {
	var l []string
	for _, n := range names[:min(len(names), 5)] {
		l = append(l, n.Name())
	}
	if len(names) > 5 {
		l = append(l, "…")
	}
	return strings.Join(l, ", ")
}

// isDatasetOf reports whether dir holds the finished dataset of the job, as far as names
// and sizes tell. Verify tells for sure.
func isDatasetOf(dir string, m mark) bool {
	index, _, err := readManifest(dir)
	if err != nil || index.Origin == nil || index.Origin.Chain != m.Chain || index.Origin.Job != uint64(m.Job) {
		return false
	}
	for _, f := range index.Files {
		info, err := os.Lstat(filepath.Join(dir, filepath.FromSlash(f.Name)))
		if err != nil || info.Size() != f.Size {
			return false
		}
	}
	_, err = os.Stat(filepath.Join(dir, lineageFile))
	return err == nil
}

// clear removes what an unfinished write left. It may have moved some of it already.
func (s *stage) clear() error {
	for _, name := range moved {
		if err := os.RemoveAll(filepath.Join(s.dir, name)); err != nil {
			return fmt.Errorf("clear an unfinished dataset away: %w", err)
		}
	}
	// Everything but the mark goes first, so that the mark outlives it.
	names, err := os.ReadDir(s.temp)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("clear an unfinished dataset away: %w", err)
	}
	for _, n := range names {
		if n.Name() != stageMark {
			if err := os.RemoveAll(filepath.Join(s.temp, n.Name())); err != nil {
				return fmt.Errorf("clear an unfinished dataset away: %w", err)
			}
		}
	}
	return nil
}

// finish makes the files durable under their names in DIR.
func (s *stage) finish() error {
	for _, d := range []string{warcDir, rejectedDir, "."} {
		if err := syncDir(filepath.Join(s.temp, d)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("finish the dataset in %s: %w", s.dir, err)
		}
	}
	for _, name := range moved {
		err := os.Rename(filepath.Join(s.temp, name), filepath.Join(s.dir, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("finish the dataset in %s: %w", s.dir, err)
		}
	}
	if err := syncDir(s.dir); err != nil {
		return fmt.Errorf("finish the dataset in %s: %w", s.dir, err)
	}
	if err := os.RemoveAll(s.temp); err != nil {
		return fmt.Errorf("finish the dataset in %s: %w", s.dir, err)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	// Some systems cannot sync a directory; there its entries are as durable as they get.
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return nil
}

// full adds to an error of a full disk what to do about it.
func full(dir string, err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: the disk that holds %s is full: free some space and run the same command again, which starts the directory over", err, dir)
	}
	return err
}

// outFile is a file being written, whose size and digest are counted along the way.
type outFile struct {
	f    *os.File
	buf  *bufio.Writer
	hash hash.Hash
	n    int64
}

func create(path string) (*outFile, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, fmt.Errorf("write the dataset: %w", err)
	}
	o := &outFile{f: f, hash: sha256.New()}
	o.buf = bufio.NewWriterSize(f, 256<<10)
	return o, nil
}

func (o *outFile) Write(p []byte) (int, error) {
	n, err := o.buf.Write(p)
	o.hash.Write(p[:n])
	o.n += int64(n)
	return n, err
}

// close makes the file durable.
func (o *outFile) close() error {
	err := o.buf.Flush()
	if err == nil {
		err = o.f.Sync()
	}
	if cerr := o.f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(o.f.Name()), err)
	}
	return nil
}

// abort closes the file if close did not.
func (o *outFile) abort() { o.f.Close() }

// file is the closed file as a manifest lists it.
func (o *outFile) file(name, mediaType string) artifact.File {
	return artifact.File{Name: name, Size: o.n, SHA256: artifact.Digest(o.hash.Sum(nil)), MediaType: mediaType}
}

// writeFile writes a small file durably.
func writeFile(dir, name, mediaType string, b []byte) (artifact.File, error) {
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return artifact.File{}, fmt.Errorf("write %s: %w", name, err)
	}
	o, err := create(path)
	if err != nil {
		return artifact.File{}, err
	}
	if _, err := o.Write(b); err != nil {
		o.abort()
		return artifact.File{}, fmt.Errorf("write %s: %w", name, err)
	}
	return o.file(name, mediaType), o.close()
}
