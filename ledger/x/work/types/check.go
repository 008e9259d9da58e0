package types

import (
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"cosmossdk.io/math"

	"github.com/cantus-network/cantus/work"
)

// Limits on what messages may carry.
const (
	MaxMoniker   = 64
	MaxContact   = 128
	MaxPlace     = 64  // bytes of a network's or a region's name
	MaxURL       = 256 // bytes
	MaxKinds     = 16  // of one worker
	MaxUses      = 16  // artifacts that one job reads
	MaxUse       = 128 // bytes of an artifact's CID
	MaxRoyalties = 64  // owners that one job pays
	MaxBatch     = 256 // openings, verdicts or claims in one message
	MaxPending   = 64  // epochs of one job that are committed and not yet final
	MaxCells     = 256 // of one gateway
	MaxCellName  = 32  // bytes

	MaxOpening  = 256 << 10 // bytes of a step's opening, and of what is shown of a model
	MaxDisputed = 256 << 10 // bytes of the result's body of a disputed receipt
	Ways        = 16        // children of a trace's node
	MaxDisputes = 4         // open at a time about one receipt, besides those of its auditors
	MaxFalse    = 64        // receipts of one epoch that are shown to be false without being sampled

	// amountBits bounds every amount: with it no product with a number of units can
	// overflow the 256 bits of a math.Int.
	amountBits = 128
	// waysBits is log2(Ways).
	waysBits = 4
	// maxSiblings bounds a proof: a tree of 2⁶⁴ leaves is no higher.
	maxSiblings = 64
)

// CheckAmount refuses an amount that is missing, not positive or absurd.
func CheckAmount(what string, v math.Int) error {
	switch {
	case v.IsNil():
		return ErrInvalid.Wrapf("%s: no amount", what)
	case !v.IsPositive():
		return ErrInvalid.Wrapf("%s: %s anote, want a positive amount", what, v)
	case v.BigIntMut().BitLen() > amountBits:
		return ErrInvalid.Wrapf("%s: an amount of more than %d bits", what, amountBits)
	}
	return nil
}

// CheckSum refuses a sum that is missing, negative or absurd; zero is fine.
func CheckSum(what string, v math.Int) error {
	if !v.IsNil() && v.IsZero() {
		return nil
	}
	return CheckAmount(what, v)
}

// CheckText refuses text that is too long or holds what no terminal should show.
func CheckText(what, s string, limit int) error {
	if len(s) > limit {
		return ErrInvalid.Wrapf("%s: %d bytes, at most %d", what, len(s), limit)
	}
	if !utf8.ValidString(s) {
		return ErrInvalid.Wrapf("%s: not UTF-8", what)
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return ErrInvalid.Wrapf("%s: unprintable character %U", what, r)
		}
	}
	return nil
}

// CheckURL refuses what is not the address of a gateway's door.
func CheckURL(s string) error {
	if err := CheckText("url", s, MaxURL); err != nil {
		return err
	}
	u, err := url.Parse(s)
	if err != nil {
		return ErrInvalid.Wrapf("url: %v", err)
	}
	switch {
	case !slices.Contains([]string{"http", "https"}, u.Scheme):
		return ErrInvalid.Wrapf("url %q: want one that starts with http:// or https://", s)
	case u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return ErrInvalid.Wrapf("url %q: want a host, perhaps a port and a path, and nothing else", s)
	}
	return nil
}

// CheckCellName refuses what is not 1 to MaxCellName of a to z, 0 to 9 and hyphens.
func CheckCellName(s string) error {
	bad := func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' }
	if s == "" || len(s) > MaxCellName || strings.ContainsFunc(s, bad) {
		return ErrInvalid.Wrapf("cell %.40q: want 1 to %d of a to z, 0 to 9 and hyphens", s, MaxCellName)
	}
	return nil
}

// CheckCells refuses cells that are too many, malformed or named twice.
func CheckCells(cells []Cell) error {
	if len(cells) > MaxCells {
		return ErrInvalid.Wrapf("%d cells, at most %d", len(cells), MaxCells)
	}
	seen := make(map[string]bool, len(cells))
	for _, c := range cells {
		if err := CheckCellName(c.Name); err != nil {
			return err
		}
		if seen[c.Name] {
			return ErrInvalid.Wrapf("cell %s is named twice", c.Name)
		}
		seen[c.Name] = true
		if err := CheckURL(c.Url); err != nil {
			return ErrInvalid.Wrapf("cell %s: %v", c.Name, err)
		}
	}
	return nil
}

// CheckKinds refuses kinds that are none, too many, malformed or named twice.
func CheckKinds(kinds []string) error {
	if len(kinds) == 0 || len(kinds) > MaxKinds {
		return ErrInvalid.Wrapf("%d kinds, want 1 to %d", len(kinds), MaxKinds)
	}
	for i, k := range kinds {
		if err := work.Name(k).Check(); err != nil {
			return ErrInvalid.Wrap(err.Error())
		}
		if slices.Contains(kinds[:i], k) {
			return ErrInvalid.Wrapf("kind %s is named twice", k)
		}
	}
	return nil
}

// CheckDigest refuses what is not 32 bytes, or only zeros.
func CheckDigest(what string, b []byte) error {
	if len(b) != 32 {
		return ErrInvalid.Wrapf("%s: %d bytes, want 32", what, len(b))
	}
	if !slices.ContainsFunc(b, func(c byte) bool { return c != 0 }) {
		return ErrInvalid.Wrapf("%s: all zero", what)
	}
	return nil
}

// CheckKey refuses what can't be a node key.
func CheckKey(b []byte) error {
	k, err := work.KeyFromBytes(b)
	if err != nil {
		return ErrInvalid.Wrap(err.Error())
	}
	if k.IsZero() {
		return ErrInvalid.Wrap("the all-zero key is nobody's")
	}
	return nil
}

func checkSignature(b []byte) error {
	if len(b) != 64 {
		return ErrInvalid.Wrapf("signature: %d bytes, want 64", len(b))
	}
	return nil
}

// CheckUses refuses a list of artifacts that is too long or names one twice. Whether they
// exist is for the lineage module to say.
func CheckUses(uses []string) error {
	if len(uses) > MaxUses {
		return ErrInvalid.Wrapf("the job uses %d artifacts, at most %d", len(uses), MaxUses)
	}
	for i, u := range uses {
		if u == "" {
			return ErrInvalid.Wrap("the job uses an artifact without a CID")
		}
		if err := CheckText("artifact", u, MaxUse); err != nil {
			return err
		}
		if slices.Contains(uses[:i], u) {
			return ErrInvalid.Wrapf("the job uses %s twice", u)
		}
	}
	return nil
}

func checkBatch(what string, n int) error {
	if n == 0 || n > MaxBatch {
		return ErrInvalid.Wrapf("%d %s in one message, want 1 to %d", n, what, MaxBatch)
	}
	return nil
}
