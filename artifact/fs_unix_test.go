//go:build unix

package artifact

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestFullDiskIsErrFull(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT} {
		err := full(errors.Join(&os.PathError{Op: "write", Path: "x", Err: errno}))
		if !errors.Is(err, ErrFull) || !errors.Is(err, errno) {
			t.Errorf("%v became %v, want ErrFull", errno, err)
		}
	}
	if err := full(os.ErrPermission); errors.Is(err, ErrFull) {
		t.Errorf("another error became %v", err)
	}
}

// A write that the system cuts short must leave nothing behind. The process's own limit
// on the size of files stands in for a full disk.
func TestFailedWriteLeavesNothing(t *testing.T) {
	f, err := OpenFS(t.TempDir(), Options{Quota: 16 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	small, large := []byte("small"), make([]byte, 8<<20)
	if _, err := f.Put(t.Context(), small); err != nil {
		t.Fatal(err)
	}
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
		t.Skip("no limit on the size of files here:", err)
	}
	// Well above what the testing package itself may be writing at this moment.
	limit := syscall.Rlimit{Cur: 4 << 20, Max: was.Max}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Skip("the size of files can't be limited here:", err)
	}
	_, err = f.PutAll(t.Context(), [][]byte{large, []byte("other")})
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}
	if err == nil || !strings.Contains(err.Error(), "file too large") {
		t.Fatalf("a write beyond the limit gave %v", err)
	}
	if n, size, err := f.Usage(t.Context()); err != nil || n != 1 || size != int64(len(small)) || f.used != size {
		t.Errorf("%d blobs of %d bytes are left, %d counted, %v", n, size, f.used, err)
	}
	if left, err := os.ReadDir(f.dir + "/tmp"); err != nil || len(left) != 0 {
		t.Errorf("%d files are left in tmp, %v", len(left), err)
	}
	if _, err := f.Put(t.Context(), large); err != nil {
		t.Errorf("with room again: %v", err)
	}
}
