package artifact_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/artifact/artifacttest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("ARTIFACT_TEST_WRITER"); dir != "" {
		writeForever(dir)
	}
	os.Exit(m.Run())
}

// writeForever is the process that TestFSSurvivesKill kills: it says the digest of each
// blob once the store has acknowledged it.
func writeForever(dir string) {
	f, err := artifact.OpenFS(dir, artifact.Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for seed := uint64(0); ; seed++ {
		ds, err := f.PutAll(context.Background(), artifacttest.Blobs(seed, 20, 1, 40_000))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		for _, d := range ds {
			fmt.Println(d)
		}
	}
}

func TestFSSurvivesKill(t *testing.T) {
	dir := t.TempDir()
	var acked []artifact.Digest
	for round := range 3 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "ARTIFACT_TEST_WRITER="+dir)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			d, err := artifact.ParseDigest(lines.Text())
			if err != nil {
				break // cut off by the kill
			}
			acked = append(acked, d)
			if n == 50+37*round {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait() // it was killed
	}
	if len(acked) < 150 {
		t.Fatalf("only %d blobs were acknowledged", len(acked))
	}

	f := openFS(t, dir, artifact.Options{})
	for _, d := range acked {
		if _, err := f.Get(t.Context(), d, 0); err != nil {
			t.Fatalf("an acknowledged blob is lost: %v", err)
		}
	}
	for info, err := range f.All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if b, err := f.Get(t.Context(), info.Digest, 0); err != nil || int64(len(b)) != info.Size {
			t.Errorf("a blob that was never acknowledged is there in part: %v", err)
		}
	}
	if left, err := os.ReadDir(filepath.Join(dir, "tmp")); err != nil || len(left) != 0 {
		t.Errorf("%d files of the killed processes are left in tmp, %v", len(left), err)
	}
}

func TestFSOneProcess(t *testing.T) {
	dir := t.TempDir()
	f, err := artifact.OpenFS(dir, artifact.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := artifact.OpenFS(dir, artifact.Options{}); !errors.Is(err, artifact.ErrInUse) {
		t.Fatalf("opening a store twice gave %v, want ErrInUse", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Errorf("the second Close gave %v", err)
	}
	if _, err := f.Put(t.Context(), []byte("late")); !errors.Is(err, artifact.ErrClosed) {
		t.Errorf("Put into a closed store gave %v, want ErrClosed", err)
	}
	if _, err := f.Get(t.Context(), artifact.Sum(nil), 0); !errors.Is(err, artifact.ErrClosed) {
		t.Errorf("Get from a closed store gave %v, want ErrClosed", err)
	}
	openFS(t, dir, artifact.Options{})
}

func TestFSRefusesBadOptions(t *testing.T) {
	for _, opts := range []artifact.Options{{MaxBlob: -1}, {Quota: -1}} {
		if _, err := artifact.OpenFS(t.TempDir(), opts); err == nil {
			t.Errorf("OpenFS took %+v", opts)
		}
		if _, err := artifact.NewMemory(opts); err == nil {
			t.Errorf("NewMemory took %+v", opts)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := artifact.OpenFS(file, artifact.Options{}); err == nil {
		t.Error("OpenFS took a file for its directory")
	}
}

// damage changes the stored bytes of a blob behind the store's back.
func damage(t *testing.T, dir string, d artifact.Digest, change func([]byte) []byte) {
	t.Helper()
	name := filepath.Join(dir, d.String()[:2], d.String())
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, change(b), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFSFindsDamage(t *testing.T) {
	flip := func(b []byte) []byte { b[len(b)/2] ^= 1; return b }
	cut := func(b []byte) []byte { return b[:len(b)-1] }
	grow := func(b []byte) []byte { return append(b, 'x') }
	empty := func([]byte) []byte { return nil }
	get := func(f *artifact.FS, d artifact.Digest) ([]byte, error) { return f.Get(context.Background(), d, 0) }
	open := func(f *artifact.FS, d artifact.Digest) ([]byte, error) {
		r, _, err := f.Open(context.Background(), d)
		if err != nil {
			return nil, err
		}
		defer r.Close()
		return io.ReadAll(r)
	}
	for name, change := range map[string]func([]byte) []byte{"flipped": flip, "cut": cut, "grown": grow, "emptied": empty} {
		for how, read := range map[string]func(*artifact.FS, artifact.Digest) ([]byte, error){"Get": get, "Open": open} {
			t.Run(name+" "+how, func(t *testing.T) {
				dir := t.TempDir()
				opts := artifact.Options{}
				if name == "flipped" { // the size is right, so the count must be
					opts.Quota = 120_000
				}
				f := openFS(t, dir, opts)
				blob := artifacttest.Blobs(9, 1, 100_000, 100_000)[0]
				d, err := f.Put(t.Context(), blob)
				if err != nil {
					t.Fatal(err)
				}
				damage(t, dir, d, change)
				if b, err := read(f, d); !errors.Is(err, artifact.ErrCorrupt) {
					t.Fatalf("%s gave %d bytes, %v; want ErrCorrupt", how, len(b), err)
				}
				if has, err := f.Has(t.Context(), d); err != nil || has[0] {
					t.Errorf("the store still says that it has the blob: %v", err)
				}
				if _, err := os.Stat(filepath.Join(dir, "bad", d.String())); err != nil {
					t.Errorf("the damaged file was not kept: %v", err)
				}
				if _, err := f.Put(t.Context(), blob); err != nil {
					t.Fatalf("putting it again: %v", err)
				}
				if b, err := read(f, d); err != nil || !bytes.Equal(b, blob) {
					t.Errorf("once put again it is %d bytes, %v", len(b), err)
				}
			})
		}
	}
}

func TestFSPutRepairsWrongSize(t *testing.T) {
	dir := t.TempDir()
	f := openFS(t, dir, artifact.Options{})
	d, err := f.Put(t.Context(), []byte("whole"))
	if err != nil {
		t.Fatal(err)
	}
	damage(t, dir, d, func(b []byte) []byte { return b[:2] })
	if _, err := f.Put(t.Context(), []byte("whole")); err != nil {
		t.Fatal(err)
	}
	if b, err := f.Get(t.Context(), d, 0); err != nil || string(b) != "whole" {
		t.Errorf("after putting it again the blob is %q, %v", b, err)
	}
}

func TestFSQuotaOutlivesProcess(t *testing.T) {
	dir := t.TempDir()
	f, err := artifact.OpenFS(dir, artifact.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ds, err := f.PutAll(t.Context(), artifacttest.Blobs(5, 4, 100, 100))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	f = openFS(t, dir, artifact.Options{Quota: 450})
	if n, size, err := f.Usage(t.Context()); err != nil || n != 4 || size != 400 {
		t.Errorf("usage is %d blobs of %d bytes, %v; want 4 of 400", n, size, err)
	}
	more := make([]byte, 100)
	if _, err := f.Put(t.Context(), more); !errors.Is(err, artifact.ErrFull) {
		t.Fatalf("beyond the quota: %v, want ErrFull", err)
	}
	if err := f.Delete(t.Context(), ds[0], artifact.Sum([]byte("never put"))); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Get(t.Context(), ds[0], 0); !errors.Is(err, artifact.ErrNotFound) {
		t.Errorf("a deleted blob: %v, want ErrNotFound", err)
	}
	if _, err := f.Put(t.Context(), more); err != nil {
		t.Errorf("with room made: %v", err)
	}
}

// All calls put the same blobs, so that each waits for others that write what it needs.
func TestFSWaitsForOthers(t *testing.T) {
	f := openFS(t, t.TempDir(), artifact.Options{Quota: 50 * 1000})
	blobs := artifacttest.Blobs(6, 50, 1000, 1000)
	var wg sync.WaitGroup
	for g := range 6 {
		wg.Go(func() {
			mine := append(append([][]byte{}, blobs[g*8:]...), blobs[:g*8]...)
			if _, err := f.PutAll(t.Context(), mine); err != nil {
				t.Error(err)
			}
			for _, b := range mine {
				if _, err := f.Get(t.Context(), artifact.Sum(b), 0); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n, size, err := f.Usage(t.Context()); err != nil || n != 50 || size != 50_000 {
		t.Errorf("usage is %d blobs of %d bytes, %v", n, size, err)
	}
}

func TestFSListsInOrder(t *testing.T) {
	dir := t.TempDir()
	f := openFS(t, dir, artifact.Options{})
	want, err := f.PutAll(t.Context(), artifacttest.Blobs(7, 100, 8, 8))
	if err != nil {
		t.Fatal(err)
	}
	// What is not a blob is none of the store's business.
	if err := os.WriteFile(filepath.Join(dir, "00", "README"), []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	var last artifact.Digest
	got := map[artifact.Digest]bool{}
	for info, err := range f.All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if info.Digest.Compare(last) <= 0 || info.Size != 8 || info.Stored.IsZero() {
			t.Errorf("listed %+v after %s", info, last)
		}
		last, got[info.Digest] = info.Digest, true
	}
	if len(got) != len(want) {
		t.Errorf("%d blobs are listed, want %d", len(got), len(want))
	}
	for _, d := range want {
		if !got[d] {
			t.Errorf("%s is not listed", d)
		}
	}
}

// A source that lies about its length, ends early or fails half-way must not look whole.
func TestVerifiedReader(t *testing.T) {
	blob := binary.BigEndian.AppendUint64(nil, 42)
	d := artifact.Sum(blob)
	broken := errors.New("the line broke")
	for _, test := range []struct {
		name string
		r    io.Reader
		size int64
		want error
	}{
		{"whole", bytes.NewReader(blob), 8, nil},
		{"one byte at a time", &oneByte{r: bytes.NewReader(blob)}, 8, nil},
		{"short", bytes.NewReader(blob[:7]), 8, artifact.ErrCorrupt},
		{"long", bytes.NewReader(append(bytes.Clone(blob), 1)), 8, artifact.ErrCorrupt},
		{"changed", bytes.NewReader(make([]byte, 8)), 8, artifact.ErrCorrupt},
		{"another size", bytes.NewReader(blob), 9, artifact.ErrCorrupt},
		{"broken", io.MultiReader(bytes.NewReader(blob[:3]), &failing{broken}), 8, broken},
		{"broken at the end", io.MultiReader(bytes.NewReader(blob), &failing{broken}), 8, broken},
		{"never ends", io.MultiReader(bytes.NewReader(blob), &failing{nil}), 8, io.ErrNoProgress},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := artifact.VerifiedReader(io.NopCloser(test.r), d, test.size)
			b, err := io.ReadAll(r)
			if !errors.Is(err, test.want) || (test.want == nil && (err != nil || !bytes.Equal(b, blob))) {
				t.Errorf("read %d bytes, %v; want %v", len(b), err, test.want)
			}
			if int64(len(b)) > test.size {
				t.Errorf("handed out %d bytes, more than the %d it should be", len(b), test.size)
			}
		})
	}
}

type oneByte struct{ r io.Reader }

func (o *oneByte) Read(p []byte) (int, error) { return o.r.Read(p[:min(1, len(p))]) }

type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) { return 0, f.err }
