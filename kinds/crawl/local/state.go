package local

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/cantus-network/cantus/work"
)

// State is a plan's state in a database of its own.
type State struct{ db *pebble.DB }

// OpenState opens or makes the state in a folder; "" stands for memory.
func OpenState(dir string) (*State, error) {
	o := &pebble.Options{Logger: quiet{}, MemTableSize: 32 << 20}
	if dir == "" {
		dir, o.FS = "state", vfs.NewMem()
	}
	db, err := pebble.Open(dir, o)
	if err != nil {
		return nil, fmt.Errorf("open the crawl's state in %s: %w", dir, err)
	}
	return &State{db}, nil
}

// Get implements work.State.
func (s *State) Get(key []byte) ([]byte, error) {
	v, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	return append([]byte{}, v...), nil
}

// Scan implements work.State.
func (s *State) Scan(start, end []byte, f func(key, value []byte) bool) (err error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: start, UpperBound: end})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok; ok = it.Next() {
		if !f(it.Key(), it.Value()) {
			return nil
		}
	}
	return it.Error()
}

// Batch collects writes.
type Batch struct{ b *pebble.Batch }

// NewBatch begins a batch.
func (s *State) NewBatch() *Batch { return &Batch{s.db.NewBatch()} }

// Set implements work.Batch.
func (b *Batch) Set(key, value []byte) { _ = b.b.Set(key, value, nil) }

// Delete implements work.Batch.
func (b *Batch) Delete(key []byte) { _ = b.b.Delete(key, nil) }

// Commit writes the batch: all of it, or nothing.
func (b *Batch) Commit() error {
	if err := b.b.Commit(pebble.Sync); err != nil {
		return fmt.Errorf("write the crawl's state: %w", err)
	}
	return b.b.Close()
}

// Drop forgets the batch.
func (b *Batch) Drop() error { return b.b.Close() }

// Close closes the state.
func (s *State) Close() error { return s.db.Close() }

var (
	_ work.State = (*State)(nil)
	_ work.Batch = (*Batch)(nil)
)

// quiet leaves Pebble's chatter out; its errors come back from the calls.
type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf(format, args...)) // Pebble can't go on; its own logger would exit
}
