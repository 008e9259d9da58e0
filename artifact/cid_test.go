package artifact_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	gocid "github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/cantus-network/cantus/artifact"
)

// Identifiers that IPFS's own tools made of known bytes.
var cidVectors = []struct {
	codec artifact.Codec
	bytes string
	cid   string
}{
	{artifact.Raw, "", "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"},
	{artifact.Raw, "hello world", "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"},
	// github.com/ipld/codec-fixtures, dagpb_1namedlink+data: the CID is the file's name.
	{artifact.DagJSON, `{"Data":{"/":{"bytes":"CAE"}},"Links":[{"Hash":{"/":"bafkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am"},"Name":"hello.txt","Tsize":6}]}`,
		"baguqeera33s42p2sjw7hz6rsawracsab643ixxch3nx7eovttooneklcim5q"},
	// The link in it is to the file "hello\n".
	{artifact.Raw, "hello\n", "bafkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am"},
	// An empty UnixFS directory.
	{artifact.DagPB, "\x0a\x02\x08\x01", "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354"},
}

func TestCIDVectors(t *testing.T) {
	for _, v := range cidVectors {
		d := artifact.Sum([]byte(v.bytes))
		if got := artifact.CID(v.codec, d); got != v.cid {
			t.Errorf("CID(%v, %q) = %s, want %s", v.codec, v.bytes, got, v.cid)
		}
		c, got, err := artifact.ParseCID(v.cid)
		if err != nil || c != v.codec || got != d {
			t.Errorf("ParseCID(%s) = %v, %s, %v", v.cid, c, got, err)
		}
	}
}

// IPFS's own library must read what we write, and write the same.
func TestCIDAgainstGoCID(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, codec := range []artifact.Codec{artifact.Raw, artifact.DagPB, artifact.DagCBOR, artifact.DagJSON, artifact.JSON} {
		for range 200 {
			var d artifact.Digest
			for i := range d {
				d[i] = byte(r.Uint32())
			}
			mh, err := multihash.Encode(d[:], multihash.SHA2_256)
			if err != nil {
				t.Fatal(err)
			}
			want := gocid.NewCidV1(uint64(codec), mh).String()
			if got := artifact.CID(codec, d); got != want {
				t.Fatalf("CID(%v, %s) = %s, want %s", codec, d, got, want)
			}
			if c, back, err := artifact.ParseCID(want); err != nil || c != codec || back != d {
				t.Fatalf("ParseCID(%s) = %v, %s, %v", want, c, back, err)
			}
		}
	}
}

func TestParseCIDRefuses(t *testing.T) {
	good := artifact.CID(artifact.Raw, artifact.Sum([]byte("hello world")))
	d := artifact.Sum([]byte("x"))
	other := func(codec, hash uint64, digest []byte) string {
		mh, err := multihash.Encode(digest, hash)
		if err != nil {
			t.Fatal(err)
		}
		return gocid.NewCidV1(codec, mh).String()
	}
	for name, s := range map[string]string{
		"nothing":                "",
		"the base alone":         "b",
		"version 0":              "QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n",
		"upper case":             strings.ToUpper(good),
		"an upper-case letter":   good[:10] + strings.ToUpper(good[10:11]) + good[11:],
		"base58":                 "zb2rhe5P4gXftAwvA4eXQ5HJwsER2owDyS9sKaQRRVQPn93bA",
		"padding":                good + "=",
		"a line break":           good[:10] + "\n" + good[10:],
		"a space":                good + " ",
		"one character less":     good[:len(good)-1],
		"one character more":     good + "a",
		"loose last bits":        good[:len(good)-1] + "f", // "e" is 00100, of which two bits are spare
		"a path":                 good + "/file",
		"a URI":                  "ipfs://" + good,
		"an unknown codec":       other(0x72, multihash.SHA2_256, d[:]),
		"another hash":           other(0x55, multihash.SHA3_256, d[:]),
		"a cut-off digest":       other(0x55, multihash.SHA2_256, d[:20]),
		"an empty identity hash": other(0x55, multihash.IDENTITY, nil),
		"very long":              "b" + strings.Repeat("a", 1<<20),
		"a long varint":          "bagaaaeragaydambqgaydambqgaydambqgaydambqgaydambqgaydambqgaydamb",
	} {
		if c, d, err := artifact.ParseCID(s); !errors.Is(err, artifact.ErrCID) {
			t.Errorf("%s: ParseCID(%.80q) = %v, %s, %v; want ErrCID", name, s, c, d, err)
		} else if len(err.Error()) > 400 {
			t.Errorf("%s: the error has %d characters", name, len(err.Error()))
		}
	}
}

func FuzzParseCID(f *testing.F) {
	for _, v := range cidVectors {
		f.Add(v.cid)
	}
	f.Add("bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvykv")
	f.Fuzz(func(t *testing.T, s string) {
		c, d, err := artifact.ParseCID(s)
		if err != nil {
			return
		}
		if again := artifact.CID(c, d); again != s {
			t.Errorf("%q was read as %v %s, which is written %q", s, c, d, again)
		}
		theirs, err := gocid.Decode(s)
		if err != nil || theirs.Prefix().Codec != uint64(c) {
			t.Errorf("go-cid reads %q as %v, %v", s, theirs, err)
		}
	})
}
