//go:build !unix

package artifact

import (
	"errors"
	"io"
	"os"
	"syscall"
)

// lockFile only marks the directory: elsewhere than on Unix nothing keeps a second
// process out.
func lockFile(name string) (io.Closer, error) {
	return os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
}

// syncDir has nothing to do: Windows can't sync directories and journals their names.
func syncDir(string) error { return nil }

// ERROR_HANDLE_DISK_FULL and ERROR_DISK_FULL.
func isNoSpace(err error) bool {
	return errors.Is(err, syscall.Errno(39)) || errors.Is(err, syscall.Errno(112))
}
