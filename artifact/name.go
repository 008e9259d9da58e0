package artifact

import (
	"fmt"
	"strings"
)

const (
	maxName    = 240 // characters of a file's name with its directories
	maxSegment = 100 // of one part of it
)

// CheckName refuses what a file in a manifest may not be called. A name is a relative path
// with slashes that means the same file on every system: letters, digits and ._+=@- only;
// no part is empty, starts with a dot or a dash, ends with a dot, or is a device's name on
// Windows. So a name can't leave the directory that it is joined to, hide in it, or be
// taken for an option.
func CheckName(name string) error {
	bad := func(why string) error { return fmt.Errorf("file name %.60q: %s", name, why) }
	if len(name) > maxName {
		return bad(fmt.Sprintf("%d characters, at most %d", len(name), maxName))
	}
	for part := range strings.SplitSeq(name, "/") {
		switch {
		case part == "":
			return bad("an empty part; want a relative path like warc/a.warc.gz")
		case len(part) > maxSegment:
			return bad(fmt.Sprintf("a part of %d characters, at most %d", len(part), maxSegment))
		case part[0] == '.' || part[0] == '-':
			return bad("a part starts with a dot or a dash")
		case part[len(part)-1] == '.':
			return bad("a part ends with a dot")
		case isDevice(part):
			return bad("a part is a device's name on Windows")
		}
		for i := range len(part) {
			if !nameByte(part[i]) {
				return bad("want letters, digits and ._+=@- between the slashes")
			}
		}
	}
	return nil
}

func nameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("._+=@-", c) >= 0
}

// isDevice reports whether Windows would open a device instead of a file.
func isDevice(part string) bool {
	base, _, _ := strings.Cut(strings.ToLower(part), ".")
	switch base {
	case "con", "prn", "aux", "nul":
		return true
	}
	if len(base) != 4 || base[3] < '0' || base[3] > '9' {
		return false
	}
	return base[:3] == "com" || base[:3] == "lpt"
}

// checkNames checks the names of all files of one manifest: sorted, and none the same as,
// or a directory of, another on a system that takes upper and lower case for one.
func checkNames(files []File) error {
	folded := make(map[string]bool, len(files))
	for i, f := range files {
		if err := CheckName(f.Name); err != nil {
			return err
		}
		if i > 0 && files[i-1].Name >= f.Name {
			return fmt.Errorf("file %q comes after %q: want every file once, sorted by name", f.Name, files[i-1].Name)
		}
		fold := strings.ToLower(f.Name)
		if folded[fold] {
			return fmt.Errorf("file %q: another one differs from it in upper and lower case only", f.Name)
		}
		folded[fold] = true
	}
	for _, f := range files {
		for dir := strings.ToLower(f.Name); ; {
			i := strings.LastIndexByte(dir, '/')
			if i < 0 {
				break
			}
			dir = dir[:i]
			if folded[dir] {
				return fmt.Errorf("file %q: its directory is itself a file", f.Name)
			}
		}
	}
	return nil
}
