package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/gofrs/flock"
)

// ErrRunning is wrapped by the error of a second Start on the same home.
var ErrRunning = errors.New("a ledger node already runs in this home")

// homeLock is the right to use a home. The operating system takes it away with
// the process, so there is no such thing as a stale one.
type homeLock struct{ f *flock.Flock }

const lockFile = "node.lock"

func lockHome(home string) (*homeLock, error) {
	if _, err := os.Stat(filepath.Join(home, configFile)); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("start the ledger: %s is not a ledger's home: prepare it with init or join first", home)
		}
		return nil, fmt.Errorf("start the ledger: %w", err)
	}
	path := filepath.Join(home, lockFile)
	f := flock.New(path)
	ok, err := f.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock the home %s: %w", home, err)
	}
	if !ok {
		who := ""
		if pid, err := os.ReadFile(path); err == nil && len(pid) > 0 {
			who = " (process " + strings.TrimSpace(string(pid)) + ")"
		}
		return nil, fmt.Errorf("%w: %s%s: use the running one or stop it first", ErrRunning, home, who)
	}
	// For the message above; the lock itself is not in the content.
	_ = os.WriteFile(path, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o644)
	return &homeLock{f}, nil
}

func (l *homeLock) release() error {
	if err := l.f.Unlock(); err != nil {
		return fmt.Errorf("unlock the home: %w", err)
	}
	return nil
}
