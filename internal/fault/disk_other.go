//go:build !linux

package fault

import "testing"

// Disk is a small file system that is a test's alone; only Linux has the means.
type Disk struct{}

// OnDisk skips the test.
func OnDisk(t *testing.T, f func(d *Disk)) {
	t.Helper()
	t.Skip("a file system of a test's own is only made on Linux")
}

// Dir is where the file system is.
func (d *Disk) Dir() string { return "" }

// Path is a path on it.
func (d *Disk) Path(elem ...string) string { return "" }

// Clear removes everything from it.
func (d *Disk) Clear() {}

// Plenty makes plenty of room.
func (d *Disk) Plenty() {}

// Pages leaves so many pages.
func (d *Disk) Pages(n int) {}

// Files leaves so many files.
func (d *Disk) Files(n int) {}

// Used says how many pages and files are used.
func (d *Disk) Used() (pages, files int) { return 0, 0 }
