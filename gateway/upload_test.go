package gateway

import (
	"bytes"
	"testing"

	"github.com/cantus-network/cantus/work"
)

// FuzzSplitBlobs: what is taken has one encoding only, and it is the one that came.
func FuzzSplitBlobs(f *testing.F) {
	for _, s := range []string{"", "\x80", "\x81\x41x", "\x82\x41x\x42yz", "\x9f\xff", "\x81\x58\x18" + string(make([]byte, 24)), "\x9b\xff\xff\xff\xff\xff\xff\xff\xff"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		blobs, err := splitBlobs(b, 256)
		if err != nil {
			return
		}
		again, err := work.Encode(blobs)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x was taken as %x", b, again)
		}
	})
}
