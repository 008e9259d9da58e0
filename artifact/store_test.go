package artifact_test

import (
	"testing"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/artifact/artifacttest"
)

func TestMemory(t *testing.T) {
	artifacttest.Run(t, func(t *testing.T, opts artifact.Options) artifact.Store {
		m, err := artifact.NewMemory(opts)
		if err != nil {
			t.Fatal(err)
		}
		return m
	})
}

func openFS(t *testing.T, dir string, opts artifact.Options) *artifact.FS {
	t.Helper()
	f, err := artifact.OpenFS(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func TestFS(t *testing.T) {
	artifacttest.Run(t, func(t *testing.T, opts artifact.Options) artifact.Store {
		return openFS(t, t.TempDir(), opts)
	})
}

func BenchmarkFSPutAll(b *testing.B) {
	f, err := artifact.OpenFS(b.TempDir(), artifact.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	seed := uint64(0)
	for b.Loop() {
		b.StopTimer()
		seed++
		blobs := artifacttest.Blobs(seed, 50, 10_000, 60_000)
		b.StartTimer()
		if _, err := f.PutAll(b.Context(), blobs); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFSPut(b *testing.B) {
	f, err := artifact.OpenFS(b.TempDir(), artifact.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	seed := uint64(1 << 14)
	for b.Loop() {
		b.StopTimer()
		seed++
		blob := artifacttest.Blobs(seed, 1, 30_000, 30_000)[0]
		b.StartTimer()
		if _, err := f.Put(b.Context(), blob); err != nil {
			b.Fatal(err)
		}
	}
}
