package types

import (
	"slices"
	"unicode"
	"unicode/utf8"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/ledger/x/lineage/spdx"
	"github.com/cantus-network/cantus/work"
)

// MaxReason bounds the reason of a revocation, in bytes.
const MaxReason = 512

// CheckCID refuses what is not a CID in its one form.
func CheckCID(s string) error {
	if _, _, err := artifact.ParseCID(s); err != nil {
		return ErrInvalid.Wrap(err.Error())
	}
	return nil
}

// CheckDigest refuses what is not 32 bytes, or only zeros.
func CheckDigest(what string, b []byte) error {
	if len(b) != artifact.Size {
		return ErrInvalid.Wrapf("%s: %d bytes, want %d", what, len(b), artifact.Size)
	}
	if !slices.ContainsFunc(b, func(c byte) bool { return c != 0 }) {
		return ErrInvalid.Wrapf("%s: all zero", what)
	}
	return nil
}

// CheckReason refuses a reason that is empty, too long or more than a line of text.
func CheckReason(s string) error {
	switch {
	case s == "":
		return ErrInvalid.Wrap("a reason is missing: say why it is revoked")
	case len(s) > MaxReason:
		return ErrInvalid.Wrapf("a reason of %d bytes, at most %d", len(s), MaxReason)
	case !utf8.ValidString(s):
		return ErrInvalid.Wrap("the reason is not UTF-8")
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return ErrInvalid.Wrapf("the reason holds %q: want one line of plain text", r)
		}
	}
	return nil
}

// CheckParents refuses parents that are malformed, the artifact itself, there twice, or owed
// more than everything. Whether they exist is for the keeper to say.
func CheckParents(cid string, parents []Parent) error {
	if len(parents) > MaxParents {
		return ErrInvalid.Wrapf("%d parents, at most %d", len(parents), MaxParents)
	}
	seen := make(map[string]bool, len(parents))
	sum := uint64(0)
	for _, p := range parents {
		if err := CheckCID(p.Cid); err != nil {
			return ErrInvalid.Wrapf("parent: %v", err)
		}
		if err := artifact.CheckType(p.Role); err != nil {
			return ErrInvalid.Wrapf("parent %s: role: %v", p.Cid, err)
		}
		if p.Cid == cid {
			return ErrInvalid.Wrap("an artifact can't be its own parent")
		}
		if seen[p.Cid] {
			return ErrInvalid.Wrapf("parent %s is there twice", p.Cid)
		}
		seen[p.Cid] = true
		sum += uint64(p.RoyaltyBps)
	}
	if sum > BasisPoints {
		return ErrInvalid.Wrapf("the parents are owed %d bps, more than everything", sum)
	}
	return nil
}

// Check refuses a record that the register can't hold. It does not look at the owner's
// address, which the keeper reads with the application's codec.
func (a Artifact) Check() error {
	if err := CheckCID(a.Cid); err != nil {
		return err
	}
	if err := artifact.CheckType(a.Type); err != nil {
		return ErrInvalid.Wrap(err.Error())
	}
	if err := CheckDigest("statement digest", a.StatementDigest); err != nil {
		return err
	}
	if err := CheckParents(a.Cid, a.Parents); err != nil {
		return err
	}
	if err := spdx.Check(a.License); err != nil {
		return ErrInvalid.Wrap(err.Error())
	}
	if a.RoyaltyBps > BasisPoints {
		return ErrInvalid.Wrapf("a royalty of %d bps, more than everything", a.RoyaltyBps)
	}
	if err := a.checkOrigin(); err != nil {
		return err
	}
	return a.checkStatus()
}

// checkOrigin holds what nobody made apart from what a job made.
func (a Artifact) checkOrigin() error {
	if err := work.Label(a.Label).Check(); err != nil {
		return ErrInvalid.Wrap(err.Error())
	}
	if a.Job == 0 {
		if len(a.SettledRoot) != 0 || a.Label != string(work.Asserted) {
			return ErrInvalid.Wrapf("%s names no job, so it has no settled root and is %s", a.Cid, work.Asserted)
		}
		return nil
	}
	return CheckDigest("settled root of job", a.SettledRoot)
}

func (a Artifact) checkStatus() error {
	switch a.Status {
	case Status_STATUS_ACTIVE:
		if a.RevokeReason != "" || a.RevokedHeight != 0 {
			return ErrInvalid.Wrapf("%s is active, so it has no reason or height of a revocation", a.Cid)
		}
	case Status_STATUS_REVOKED:
		if err := CheckReason(a.RevokeReason); err != nil {
			return err
		}
		if a.RevokedHeight < a.RegisteredHeight {
			return ErrInvalid.Wrapf("%s was revoked at height %d, before it was registered at %d", a.Cid, a.RevokedHeight, a.RegisteredHeight)
		}
	default:
		return ErrInvalid.Wrapf("%s has the status %s", a.Cid, a.Status)
	}
	if a.RegisteredHeight < 0 {
		return ErrInvalid.Wrapf("%s was registered at height %d", a.Cid, a.RegisteredHeight)
	}
	return nil
}

// Revoked reports whether the artifact was revoked.
func (a Artifact) Revoked() bool { return a.Status == Status_STATUS_REVOKED }
