//go:build unix

package artifact_test

import (
	"errors"
	"os"
	"syscall"
)

func makePipe(name string) error { return errors.Join(os.Remove(name), syscall.Mkfifo(name, 0o600)) }
