package spdx

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	for _, good := range []string{
		"MIT", "CC-BY-4.0", "ODbL-1.0", "CC0-1.0", "Apache-2.0+", "NOASSERTION", "NONE",
		// The examples of the specification's annex, with current identifiers.
		"CDDL-1.0", "CDDL-1.0+", "LicenseRef-23", "LicenseRef-MIT-Style-1",
		"DocumentRef-spdx-tool-1.2:LicenseRef-MIT-Style-2",
		"LGPL-2.1-only OR MIT", "LGPL-2.1-only OR MIT OR BSD-3-Clause",
		"LGPL-2.1-only AND MIT", "LGPL-2.1-only AND MIT AND BSD-2-Clause",
		"GPL-2.0-or-later WITH Bison-exception-2.2", "LGPL-2.1-only OR BSD-3-Clause AND MIT",
		"MIT AND (LGPL-2.1-or-later OR BSD-3-Clause)", "(MIT)", "((MIT))",
		"(GPL-2.0-only WITH Classpath-exception-2.0 OR LicenseRef-a) AND (MIT OR Apache-2.0)",
		strings.Repeat("(", 8) + "MIT" + strings.Repeat(")", 8),
	} {
		if err := Check(good); err != nil {
			t.Errorf("refused: %v", err)
		}
	}
	for _, bad := range []string{
		"", " ", " MIT", "MIT ", "MIT  OR Apache-2.0", "mit", "Mit", "MIT or Apache-2.0", "MIT and Apache-2.0",
		"MIT AND", "AND MIT", "MIT OR OR MIT", "MIT Apache-2.0", "(MIT", "MIT)", "()", ")(", "(MIT))",
		"MIT WITH", "MIT WITH MIT", "WITH Classpath-exception-2.0", "(MIT) WITH Classpath-exception-2.0",
		"MIT WITH Classpath-exception-2.0 WITH Classpath-exception-2.0",
		"GPL-3.0", "GPL-2.0+", "Unlicensed", "proprietary", "MIT++", "+", "MIT +", "LicenseRef-", "LicenseRef-a+", "LicenseRef-a_b",
		"DocumentRef-a", "DocumentRef-a:MIT", ":LicenseRef-a", "DocumentRef-:LicenseRef-a", "DocumentRef-a:LicenseRef-b:c",
		"NONE OR MIT", "MIT AND NOASSERTION", "MIT\tOR MIT", "MIT\nOR MIT", "MIT/Apache-2.0", "MIT, Apache-2.0", "M\u200bIT", "MIT\x00",
		strings.Repeat("(", 9) + "MIT" + strings.Repeat(")", 9),
		strings.Repeat("MIT AND ", 40) + "MIT", strings.Repeat("(", 1<<16),
	} {
		if err := Check(bad); !errors.Is(err, ErrExpression) {
			t.Errorf("%.80q gave %v", bad, err)
		} else if len(err.Error()) > 500 {
			t.Errorf("%.80q: the error has %d characters", bad, len(err.Error()))
		}
	}
}

func TestLists(t *testing.T) {
	for name, list := range map[string]string{"licences": licenseList, "exceptions": exceptionList} {
		ids := strings.Fields(list)
		if len(ids) < 80 || !slices.IsSorted(ids) || len(slices.Compact(slices.Clone(ids))) != len(ids) {
			t.Errorf("the %d %s are not sorted, or not each there once", len(ids), name)
		}
		for _, id := range ids {
			for i := range len(id) {
				if !idByte(id[i]) {
					t.Errorf("%s: %q can't be read in an expression", name, id)
				}
			}
		}
	}
	// An expression of each must be readable.
	for id := range licenses {
		if err := Check("(" + id + " OR MIT) AND " + id + "+"); err != nil {
			t.Error(err)
		}
	}
	for id := range exceptions {
		if err := Check("MIT WITH " + id); err != nil {
			t.Error(err)
		}
	}
}

func FuzzCheck(f *testing.F) {
	f.Add("MIT OR (Apache-2.0+ AND LicenseRef-x) WITH Bison-exception-2.2")
	f.Add("NOASSERTION")
	f.Fuzz(func(t *testing.T, s string) {
		if Check(s) != nil || s == "NONE" || s == "NOASSERTION" {
			return
		}
		// What is an expression stays one in parentheses and beside another, unless
		// it grows too long or too deep.
		if len(s) < 200 && strings.Count(s, "(") < maxDepth {
			for _, more := range []string{"(" + s + ")", s + " OR MIT", "MIT AND (" + s + ")"} {
				if err := Check(more); err != nil {
					t.Errorf("%q is taken, but: %v", s, err)
				}
			}
		}
	})
}
