package artifact

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"
)

// The types by which other programs know what a Statement is.
const (
	StatementType = "https://in-toto.io/Statement/v1"
	PredicateType = "https://cantus.network/lineage/v1"
	PayloadType   = "application/vnd.in-toto+json"
)

const (
	maxSubjects = 1 << 16
	maxParents  = 1 << 10
	maxLicense  = 256
)

// ErrStatement marks a lineage statement, or its encoding, that says something impossible.
var ErrStatement = errors.New("bad lineage statement")

// Statement says what artifacts came from: an in-toto Statement v1 whose predicate is a
// Lineage. Whoever signs it claims it; what of it the ledger bears out is for a verifier
// to look up.
type Statement struct {
	Subjects []Subject
	Lineage  Lineage
}

// Subject is one thing that the statement is about: a manifest, and its files if one likes.
type Subject struct {
	Name   string // see CheckName
	SHA256 Digest
}

// Lineage is where an artifact came from.
type Lineage struct {
	Type       string          `json:"type"` // of the artifact: "dataset", "model"
	CID        string          `json:"cid"`  // of its manifest
	Origin     *Origin         `json:"origin,omitempty"`
	Parents    []Parent        `json:"parents,omitempty"`
	License    string          `json:"license"` // an SPDX expression
	Parameters json.RawMessage `json:"parameters,omitempty"`
	Label      string          `json:"label"` // how its making was checked: a trust label
	Created    time.Time       `json:"created"`
}

// Parent is something that an artifact was made from.
type Parent struct {
	CID  string `json:"cid"`
	Role string `json:"role"` // "dataset", "base-model", "tokenizer"
}

type statementJSON struct {
	Type          string        `json:"_type"`
	Subject       []subjectJSON `json:"subject"`
	PredicateType string        `json:"predicateType"`
	Predicate     Lineage       `json:"predicate"`
}

type subjectJSON struct {
	Name   string `json:"name"`
	Digest struct {
		SHA256 Digest `json:"sha256"`
	} `json:"digest"`
}

// Check refuses a statement that says something impossible.
func (s Statement) Check() error {
	if err := s.check(); err != nil {
		return fmt.Errorf("%w: %w", ErrStatement, err)
	}
	return nil
}

func (s Statement) check() error {
	if len(s.Subjects) == 0 || len(s.Subjects) > maxSubjects {
		return fmt.Errorf("%d subjects, want 1 to %d", len(s.Subjects), maxSubjects)
	}
	seen := map[string]bool{}
	for _, sub := range s.Subjects {
		if err := CheckName(sub.Name); err != nil {
			return err
		}
		if sub.SHA256.IsZero() || seen[sub.Name] {
			return fmt.Errorf("subject %q: without a digest, or there twice", sub.Name)
		}
		seen[sub.Name] = true
	}
	return s.Lineage.check(s.Subjects)
}

func (l Lineage) check(subjects []Subject) error {
	if err := CheckType(l.Type); err != nil {
		return err
	}
	_, manifest, err := ParseCID(l.CID)
	if err != nil {
		return err
	}
	named := false
	for _, sub := range subjects {
		named = named || sub.SHA256 == manifest
	}
	if !named {
		return fmt.Errorf("no subject is %s, which it speaks of", l.CID)
	}
	if l.Origin != nil {
		if err := l.Origin.check(); err != nil {
			return err
		}
	}
	if len(l.Parents) > maxParents {
		return fmt.Errorf("%d parents, at most %d", len(l.Parents), maxParents)
	}
	seen := map[Parent]bool{}
	for _, p := range l.Parents {
		if _, _, err := ParseCID(p.CID); err != nil {
			return fmt.Errorf("parent: %w", err)
		}
		if err := CheckType(p.Role); err != nil {
			return fmt.Errorf("parent %s: role: %w", p.CID, err)
		}
		if p.CID == l.CID || seen[p] {
			return fmt.Errorf("parent %s is the artifact itself, or there twice", p.CID)
		}
		seen[p] = true
	}
	switch {
	case l.License == "" || len(l.License) > maxLicense || !utf8.ValidString(l.License):
		return fmt.Errorf("a licence of %d bytes, want an SPDX expression of 1 to %d", len(l.License), maxLicense)
	case CheckType(l.Label) != nil:
		return fmt.Errorf("trust label %.40q", l.Label)
	case l.Created.Location() != time.UTC || l.Created.Nanosecond() != 0 || l.Created.Year() < 2000 || l.Created.Year() > 9999:
		return fmt.Errorf("created %v: want a time in UTC, in whole seconds", l.Created)
	}
	return checkParameters(l.Parameters)
}

// Encode writes a checked statement in its one form, canonical JSON.
func (s Statement) Encode() ([]byte, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	j := statementJSON{Type: StatementType, PredicateType: PredicateType, Predicate: s.Lineage}
	for _, sub := range s.Subjects {
		sj := subjectJSON{Name: sub.Name}
		sj.Digest.SHA256 = sub.SHA256
		j.Subject = append(j.Subject, sj)
	}
	b, err := Canonical(j)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStatement, err)
	}
	if len(b) > MaxPayload {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrStatement, len(b), MaxPayload)
	}
	return b, nil
}

// DecodeStatement reads what Encode writes, and nothing else: a statement of another
// predicate is another thing.
func DecodeStatement(b []byte) (Statement, error) {
	j, err := decodeCanonical[statementJSON](b, MaxPayload)
	if err != nil {
		return Statement{}, fmt.Errorf("%w: %w", ErrStatement, err)
	}
	if j.Type != StatementType || j.PredicateType != PredicateType {
		return Statement{}, fmt.Errorf("%w: it is a %.80q about %.80q, not a %s about %s", ErrStatement, j.Type, j.PredicateType, StatementType, PredicateType)
	}
	s := Statement{Lineage: j.Predicate}
	for _, sub := range j.Subject {
		s.Subjects = append(s.Subjects, Subject{Name: sub.Name, SHA256: sub.Digest.SHA256})
	}
	if err := s.Check(); err != nil {
		return Statement{}, err
	}
	return s, nil
}

// SignStatement encodes a statement and puts it into an envelope that every signer signs.
func SignStatement(s Statement, signers ...Signer) (Envelope, error) {
	b, err := s.Encode()
	if err != nil {
		return Envelope{}, err
	}
	return Sign(PayloadType, b, signers...)
}

// VerifyStatement checks that at least threshold of the trusted keys signed the lineage
// statement in e, and returns it with the key IDs of those that did.
func VerifyStatement(e Envelope, threshold int, trusted ...Verifier) (Statement, []string, error) {
	accepted, err := e.Verify(PayloadType, threshold, trusted...)
	if err != nil {
		return Statement{}, nil, err
	}
	s, err := DecodeStatement(e.Payload)
	if err != nil {
		return Statement{}, nil, err
	}
	return s, accepted, nil
}
