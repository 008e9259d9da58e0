// Package artifacttest holds what every artifact.Store must do. A store's own test calls
// Run; what only that store promises, it tests itself.
package artifacttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cantus-network/cantus/artifact"
)

// Open makes an empty store with the given limits, which ends with the test.
type Open func(t *testing.T, opts artifact.Options) artifact.Store

// Run holds the stores that open makes to the interface.
func Run(t *testing.T, open Open) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, Open)
	}{
		{"what is put comes back", roundTrip},
		{"digests are in the blobs' order", order},
		{"a blob is stored once", twice},
		{"a missing blob is not found", missing},
		{"Get refuses more than was asked for", getLimit},
		{"a blob above the limit is refused", blobLimit},
		{"a full store keeps what it has", quota},
		{"nobody can change a stored blob", aliasing},
		{"a cancelled call fails", cancelled},
		{"many at once", concurrent},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open) })
	}
}

// Blobs makes n random blobs of min to max bytes, the same for the same seed.
func Blobs(seed uint64, n, min, max int) [][]byte {
	var key [32]byte
	key[0], key[1] = byte(seed), byte(seed>>8)
	stream := rand.NewChaCha8(key)
	sizes := rand.New(rand.NewPCG(seed, 1))
	blobs := make([][]byte, n)
	for i := range blobs {
		blobs[i] = make([]byte, min+sizes.IntN(max-min+1))
		stream.Read(blobs[i])
	}
	return blobs
}

func roundTrip(t *testing.T, open Open) {
	s := open(t, artifact.Options{})
	ctx := t.Context()
	for _, b := range append(Blobs(1, 5, 1, 200_000), nil, []byte{}, []byte{0}, bytes.Repeat([]byte("a"), 1<<20)) {
		d, err := s.Put(ctx, b)
		if err != nil {
			t.Fatalf("Put of %d bytes: %v", len(b), err)
		}
		if d != artifact.Sum(b) {
			t.Fatalf("Put of %d bytes gave the digest %s, want %s", len(b), d, artifact.Sum(b))
		}
		got, err := s.Get(ctx, d, 0)
		if err != nil || !bytes.Equal(got, b) {
			t.Fatalf("Get of %d bytes gave %d bytes, %v", len(b), len(got), err)
		}
		r, size, err := s.Open(ctx, d)
		if err != nil || size != int64(len(b)) {
			t.Fatalf("Open of %d bytes says %d bytes, %v", len(b), size, err)
		}
		got, err = io.ReadAll(r)
		if err != nil || !bytes.Equal(got, b) {
			t.Fatalf("reading %d bytes gave %d bytes, %v", len(b), len(got), err)
		}
		if err := r.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
	}
}

func order(t *testing.T, open Open) {
	s := open(t, artifact.Options{})
	blobs := Blobs(2, 60, 0, 5_000)
	blobs = append(blobs, blobs[3], blobs[0], blobs[3]) // the same blob several times in one call
	ds, err := s.PutAll(t.Context(), blobs)
	if err != nil {
		t.Fatal(err)
	}
	if len(ds) != len(blobs) {
		t.Fatalf("%d digests of %d blobs", len(ds), len(blobs))
	}
	absent := artifact.Sum([]byte("absent"))
	has, err := s.Has(t.Context(), append([]artifact.Digest{absent}, ds...)...)
	if err != nil || len(has) != len(ds)+1 {
		t.Fatalf("Has of %d gave %d answers, %v", len(ds)+1, len(has), err)
	}
	if has[0] {
		t.Error("Has says that it has what was never put")
	}
	for i, d := range ds {
		if d != artifact.Sum(blobs[i]) {
			t.Errorf("digest %d is %s, want %s", i, d, artifact.Sum(blobs[i]))
		}
		if !has[i+1] {
			t.Errorf("Has says that blob %d is missing", i)
		}
		if b, err := s.Get(t.Context(), d, 0); err != nil || !bytes.Equal(b, blobs[i]) {
			t.Errorf("blob %d came back as %d bytes, %v", i, len(b), err)
		}
	}
	if ds, err := s.PutAll(t.Context(), nil); err != nil || len(ds) != 0 {
		t.Errorf("PutAll of nothing gave %v, %v", ds, err)
	}
	if has, err := s.Has(t.Context()); err != nil || len(has) != 0 {
		t.Errorf("Has of nothing gave %v, %v", has, err)
	}
}

func twice(t *testing.T, open Open) {
	s := open(t, artifact.Options{Quota: 150})
	b := bytes.Repeat([]byte("x"), 100)
	for range 3 {
		if _, err := s.PutAll(t.Context(), [][]byte{b, b}); err != nil {
			t.Fatalf("a blob that is stored counts again: %v", err)
		}
	}
}

func missing(t *testing.T, open Open) {
	s := open(t, artifact.Options{})
	d := artifact.Sum([]byte("never put"))
	if _, err := s.Get(t.Context(), d, 0); !errors.Is(err, artifact.ErrNotFound) {
		t.Errorf("Get gave %v, want ErrNotFound", err)
	}
	if _, _, err := s.Open(t.Context(), d); !errors.Is(err, artifact.ErrNotFound) {
		t.Errorf("Open gave %v, want ErrNotFound", err)
	}
	if _, err := s.Get(t.Context(), artifact.Digest{}, 0); !errors.Is(err, artifact.ErrNotFound) {
		t.Errorf("Get of the zero digest gave %v, want ErrNotFound", err)
	}
}

func getLimit(t *testing.T, open Open) {
	s := open(t, artifact.Options{})
	d, err := s.Put(t.Context(), make([]byte, 100))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), d, 99); !errors.Is(err, artifact.ErrTooLarge) {
		t.Errorf("Get of 100 bytes with a limit of 99 gave %v, want ErrTooLarge", err)
	}
	for _, max := range []int64{100, 0, -1} {
		if b, err := s.Get(t.Context(), d, max); err != nil || len(b) != 100 {
			t.Errorf("Get of 100 bytes with a limit of %d gave %d bytes, %v", max, len(b), err)
		}
	}
}

func blobLimit(t *testing.T, open Open) {
	s := open(t, artifact.Options{MaxBlob: 10})
	small, large := make([]byte, 10), make([]byte, 11)
	if _, err := s.Put(t.Context(), small); err != nil {
		t.Errorf("a blob of the limit's length is refused: %v", err)
	}
	if _, err := s.Put(t.Context(), large); !errors.Is(err, artifact.ErrTooLarge) {
		t.Errorf("Put above the limit gave %v, want ErrTooLarge", err)
	}
	if _, err := s.PutAll(t.Context(), [][]byte{small, large}); !errors.Is(err, artifact.ErrTooLarge) {
		t.Errorf("PutAll above the limit gave %v, want ErrTooLarge", err)
	}
	if has, err := s.Has(t.Context(), artifact.Sum(large)); err != nil || has[0] {
		t.Errorf("the refused blob is stored: %v, %v", has, err)
	}
}

func quota(t *testing.T, open Open) {
	s := open(t, artifact.Options{Quota: 1000})
	blobs := Blobs(3, 3, 400, 400)
	kept, err := s.PutAll(t.Context(), blobs[:2])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(t.Context(), blobs[2]); !errors.Is(err, artifact.ErrFull) {
		t.Fatalf("Put beyond the quota gave %v, want ErrFull", err)
	}
	for i, d := range kept {
		if b, err := s.Get(t.Context(), d, 0); err != nil || !bytes.Equal(b, blobs[i]) {
			t.Errorf("blob %d is gone once the store is full: %v", i, err)
		}
	}
	if has, err := s.Has(t.Context(), artifact.Sum(blobs[2])); err != nil || has[0] {
		t.Errorf("the refused blob is stored: %v, %v", has, err)
	}
	if _, err := s.Put(t.Context(), make([]byte, 200)); err != nil {
		t.Errorf("what still fits is refused: %v", err)
	}
}

func aliasing(t *testing.T, open Open) {
	s := open(t, artifact.Options{})
	b := []byte("original")
	d, err := s.Put(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	copy(b, "CHANGED!")
	got, err := s.Get(t.Context(), d, 0)
	if err != nil || string(got) != "original" {
		t.Fatalf("after its buffer was reused the blob is %q, %v", got, err)
	}
	copy(got, "CHANGED!")
	if got, err = s.Get(t.Context(), d, 0); err != nil || string(got) != "original" {
		t.Fatalf("after a reader changed its copy the blob is %q, %v", got, err)
	}
}

func cancelled(t *testing.T, open Open) {
	s := open(t, artifact.Options{})
	d, err := s.Put(t.Context(), []byte("here"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Put(ctx, []byte("too late")); !errors.Is(err, context.Canceled) {
		t.Errorf("Put gave %v, want context.Canceled", err)
	}
	if _, err := s.Get(ctx, d, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("Get gave %v, want context.Canceled", err)
	}
	if _, err := s.Has(ctx, d); !errors.Is(err, context.Canceled) {
		t.Errorf("Has gave %v, want context.Canceled", err)
	}
}

func concurrent(t *testing.T, open Open) {
	s := open(t, artifact.Options{})
	blobs := Blobs(4, 40, 0, 20_000)
	var wg sync.WaitGroup
	errs := make(chan error, 8)
	for g := range 8 {
		wg.Go(func() { errs <- exercise(t.Context(), s, blobs, uint64(g)) })
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
}

// exercise puts all blobs in an order and in groups of its own, and reads each group back
// as soon as it is acknowledged.
func exercise(ctx context.Context, s artifact.Store, blobs [][]byte, seed uint64) error {
	r := rand.New(rand.NewPCG(seed, 2))
	perm := r.Perm(len(blobs))
	for len(perm) > 0 {
		n := min(1+r.IntN(15), len(perm))
		group := make([][]byte, n)
		for i := range group {
			group[i] = blobs[perm[i]]
		}
		perm = perm[n:]
		ds, err := s.PutAll(ctx, group)
		if err != nil {
			return err
		}
		for i, d := range ds {
			b, err := s.Get(ctx, d, 0)
			if err != nil {
				return err
			}
			if !bytes.Equal(b, group[i]) {
				return fmt.Errorf("%d bytes came back as %d", len(group[i]), len(b))
			}
		}
	}
	return nil
}
