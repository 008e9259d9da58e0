package fault

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Disk is a small file system that is a test's alone. It gives room by the page, so a run
// of a program on it with 0, 1, 2… pages left meets a full disk at every write that needs
// a new page, and with 0, 1, 2… files left at every file that it makes.
type Disk struct {
	t   testing.TB
	dir string
}

const (
	diskEnv  = "CANTUS_FAULT_DISK" // names the test that has its mounts to itself
	pageSize = 4096
	plenty   = 1 << 16 // pages: 256 MiB
)

// OnDisk runs f with a Disk. Mounting one takes root or user namespaces: where there is
// neither, the test is skipped. The test runs again in a process of its own, whose mounts
// nobody else sees and the kernel undoes.
func OnDisk(t *testing.T, f func(d *Disk)) {
	t.Helper()
	if os.Getenv(diskEnv) != t.Name() {
		again(t)
		return
	}
	d := &Disk{t: t, dir: filepath.Join(t.TempDir(), "disk")}
	if err := os.Mkdir(d.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", d.dir, "tmpfs", 0, "size=1m,mode=0700"); err != nil {
		t.Skipf("a small file system can't be mounted here, which this test needs: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(d.dir, syscall.MNT_DETACH) })
	// A page that is always there: for a size of zero means no limit.
	if err := os.WriteFile(filepath.Join(d.dir, ".page"), []byte{1}, 0o600); err != nil {
		t.Fatal(err)
	}
	d.Plenty()
	f(d)
}

// again runs the test in a process with mounts of its own.
func again(t *testing.T) {
	t.Helper()
	args := []string{"-test.run=^" + strings.ReplaceAll(t.Name(), "/", "$/^") + "$", "-test.v", "-test.count=1"}
	if testing.Short() {
		args = append(args, "-test.short")
	}
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), diskEnv+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err != nil && !errors.As(err, &exit):
		t.Skipf("a process with mounts of its own can't be had here, which this test needs (root, or user namespaces): %v", err)
	case err != nil:
		t.Fatalf("on a disk of its own: %v\n%s", err, out)
	case strings.Contains(string(out), "--- SKIP"):
		t.Skipf("%s", out)
	case !strings.Contains(string(out), "--- PASS: "+t.Name()):
		t.Fatalf("it did not run on a disk of its own:\n%s", out)
	}
	if testing.Verbose() {
		t.Logf("%s", out)
	}
}

// Dir is where the file system is.
func (d *Disk) Dir() string { return d.dir }

// Path is a path on it.
func (d *Disk) Path(elem ...string) string { return filepath.Join(append([]string{d.dir}, elem...)...) }

// Clear removes everything from it and makes plenty of room.
func (d *Disk) Clear() {
	d.t.Helper()
	names, err := os.ReadDir(d.dir)
	if err != nil {
		d.t.Fatal(err)
	}
	for _, n := range names {
		if n.Name() == ".page" {
			continue
		}
		if err := os.RemoveAll(d.Path(n.Name())); err != nil {
			d.t.Fatal(err)
		}
	}
	d.Plenty()
}

// Plenty makes plenty of room.
func (d *Disk) Plenty() { d.t.Helper(); d.Room(plenty, plenty) }

// Pages leaves so many pages and any number of files.
func (d *Disk) Pages(n int) { d.t.Helper(); d.Room(n, plenty) }

// Files leaves so many files, directories included, and any number of pages.
func (d *Disk) Files(n int) { d.t.Helper(); d.Room(plenty, n) }

// Room leaves so many pages and files beyond what is used now.
func (d *Disk) Room(pages, files int) {
	d.t.Helper()
	usedPages, usedFiles := d.used()
	options := fmt.Sprintf("size=%d,nr_inodes=%d", (usedPages+pages)*pageSize, usedFiles+files)
	if err := syscall.Mount("tmpfs", d.dir, "tmpfs", syscall.MS_REMOUNT, options); err != nil {
		d.t.Fatalf("leave %d pages and %d files: %v", pages, files, err)
	}
}

// Used says how many pages and files are used.
func (d *Disk) Used() (pages, files int) {
	d.t.Helper()
	pages, files = d.used()
	return pages - 1, files - 2 // without what was there from the start
}

func (d *Disk) used() (pages, files int) {
	d.t.Helper()
	var s syscall.Statfs_t
	if err := syscall.Statfs(d.dir, &s); err != nil {
		d.t.Fatal(err)
	}
	return int(s.Blocks - s.Bfree), int(s.Files - s.Ffree)
}
