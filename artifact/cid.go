package artifact

import (
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// ErrCID marks text that is no CID as this package writes them.
var ErrCID = errors.New("not a CID")

// Codec says how the bytes behind a CID are to be read, by its number in the table of
// multicodecs.
type Codec uint64

// The codecs that CIDs here may have.
const (
	Raw     Codec = 0x55   // bytes: any file
	DagPB   Codec = 0x70   // IPFS's own file trees
	DagCBOR Codec = 0x71   // linked CBOR
	DagJSON Codec = 0x0129 // linked JSON
	JSON    Codec = 0x0200 // plain JSON: our manifests
)

var codecNames = map[Codec]string{Raw: "raw", DagPB: "dag-pb", DagCBOR: "dag-cbor", DagJSON: "dag-json", JSON: "json"}

// String is the codec's name in the table of multicodecs.
func (c Codec) String() string {
	if n, ok := codecNames[c]; ok {
		return n
	}
	return fmt.Sprintf("codec 0x%x", uint64(c))
}

// A CID here is version 1, has a SHA-256 multihash, and is written in multibase's
// lower-case base32 without padding:
//
//	"b" base32( 0x01 varint(codec) 0x12 0x20 digest )
const (
	cidVersion  = 1
	hashSHA256  = 0x12
	multibase   = "b"
	maxCIDChars = 80 // more than the longest codec's
)

var cidEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// CID writes the content identifier, version 1, of the blob with the digest d.
func CID(c Codec, d Digest) string {
	b := make([]byte, 0, 4+binary.MaxVarintLen64+Size)
	b = append(b, cidVersion)
	b = binary.AppendUvarint(b, uint64(c))
	b = append(b, hashSHA256, Size)
	b = append(b, d[:]...)
	return multibase + cidEncoding.EncodeToString(b)
}

// ParseCID reads what CID writes, of a known codec, and refuses everything else: other
// versions, hashes and bases, and other spellings of the same identifier.
func ParseCID(s string) (Codec, Digest, error) {
	var d Digest
	bad := func(why string) (Codec, Digest, error) {
		return 0, Digest{}, fmt.Errorf("%w: %.80q: %s; want version 1, SHA-256, lower-case base32, like bafkrei…", ErrCID, s, why)
	}
	if len(s) > maxCIDChars {
		return bad(fmt.Sprintf("%d characters", len(s)))
	}
	text, ok := strings.CutPrefix(s, multibase)
	if !ok {
		return bad("another base or version")
	}
	if strings.ContainsAny(text, "\r\n") { // the decoder would skip them
		return bad("a line break")
	}
	b, err := cidEncoding.DecodeString(text)
	if err != nil {
		return bad("not base32")
	}
	if len(b) == 0 || b[0] != cidVersion {
		return bad("not version 1")
	}
	code, n := binary.Uvarint(b[1:])
	if n <= 0 {
		return bad("no codec")
	}
	c := Codec(code)
	if _, ok := codecNames[c]; !ok {
		return bad("unknown " + c.String())
	}
	b = b[1+n:]
	if len(b) < 2 || b[0] != hashSHA256 || b[1] != Size {
		return bad("not a SHA-256 multihash")
	}
	if len(b) != 2+Size {
		return bad("a digest of the wrong length")
	}
	copy(d[:], b[2:])
	if CID(c, d) != s {
		return bad("not in its one form")
	}
	return c, d, nil
}
