package types

import (
	"bytes"
	"fmt"

	"github.com/ethereum/go-ethereum/accounts/abi"

	"github.com/cantus-network/cantus/work/page"
)

// Page is a page as contracts are told it: ICantus.Page.
type Page struct {
	Status    uint16
	Time      uint64   // seconds since 1970, as the worker says
	MediaType string   // of the body
	Location  string   // where a redirect leads
	Cut       bool     // the network kept only the body's beginning
	Digest    [32]byte // SHA-256 of the content; zero where there is none
	Content   []byte   // empty where it is longer than the ledger keeps
}

// Longest parts of a Page. With them, its fixed parts and what its content is padded with it
// is within PageHead.
const (
	maxLocation  = MaxURL
	maxMediaType = 255
)

// pageArguments is one Page as Solidity encodes it.
var pageArguments = func() abi.Arguments {
	t, err := abi.NewType("tuple", "struct ICantus.Page", []abi.ArgumentMarshaling{
		{Name: "status", Type: "uint16"}, {Name: "time", Type: "uint64"}, {Name: "mediaType", Type: "string"}, {Name: "location", Type: "string"},
		{Name: "cut", Type: "bool"}, {Name: "digest", Type: "bytes32"}, {Name: "content", Type: "bytes"},
	})
	if err != nil {
		panic(err) // the type is constant: a wrong one never leaves a test run
	}
	return abi.Arguments{{Type: t}}
}()

// PageOf is what a contract is told of a record, with a content of at most so many bytes. What
// is too long for the ledger is left out: a longer content is told by its digest.
func PageOf(f Form, r page.Record, content []byte, longest uint32) Page {
	p := Page{
		Status: r.Status, Time: uint64(max(r.Time, 0)) / 1000, MediaType: r.MediaType, Location: r.Location,
		Cut: r.Truncated, Digest: f.Digest(r), Content: []byte{},
	}
	if len(p.MediaType) > maxMediaType {
		p.MediaType = ""
	}
	if len(p.Location) > maxLocation {
		p.Location = ""
	}
	if len(content) <= int(longest) {
		p.Content = append(p.Content, content...)
	}
	return p
}

// Encode is abi.encode(page) of Solidity.
func (p Page) Encode() ([]byte, error) {
	b, err := pageArguments.Pack(p)
	if err != nil {
		return nil, fmt.Errorf("encode a page: %w", err)
	}
	return b, nil
}

// DecodePage reads what Encode gives and nothing else.
func DecodePage(b []byte) (Page, error) {
	if len(b) > PageHead+MaxAnswer {
		return Page{}, ErrInvalid.Wrapf("a page of %d bytes, at most %d", len(b), PageHead+MaxAnswer)
	}
	values, err := pageArguments.Unpack(b)
	if err != nil {
		return Page{}, ErrInvalid.Wrapf("a page: %v", err)
	}
	p := *abi.ConvertType(values[0], new(Page)).(*Page)
	if again, err := p.Encode(); err != nil || !bytes.Equal(again, b) {
		return Page{}, ErrInvalid.Wrap("a page: another encoding of the same, or more than a page")
	}
	return p, nil
}

// LongestAnswer is the most bytes that the ledger keeps of an answer to a request to a
// speaker.
func LongestAnswer(speaker []byte, t Terms) int {
	if _, ok := FormByID(speaker); ok {
		return PageHead + int(t.MaxAnswerBytes)
	}
	return int(t.MaxAnswerBytes)
}
