package dataset

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/work"
)

// FuzzEntries reads both files of receipts and records; what it accepts must be what
// would be written for it.
func FuzzEntries(f *testing.F) {
	key, err := work.PrivateKeyFromSeed(bytes.Repeat([]byte{1}, 32))
	if err != nil {
		f.Fatal(err)
	}
	s, err := work.SignReceipt(key, work.Receipt{Chain: "c", Job: 1, Seq: 1, Attempt: 1, Finished: 1})
	if err != nil {
		f.Fatal(err)
	}
	raw, err := s.Encode()
	if err != nil {
		f.Fatal(err)
	}
	var receipts, records bytes.Buffer
	for w, format := range map[*bytes.Buffer]string{&receipts: receiptsFormat, &records: recordsFormat} {
		head, err := work.Encode(fileHead{Format: format, Chain: "c", Job: 1})
		if err != nil {
			f.Fatal(err)
		}
		writeFrame(w, head)
	}
	frame, err := work.Encode(receiptFrame{Epoch: 1, Signed: raw, Task: []byte("task")})
	if err != nil {
		f.Fatal(err)
	}
	writeFrame(&receipts, frame)
	writeFrame(&records, []byte("record"))
	f.Add(receipts.Bytes(), records.Bytes())
	f.Add([]byte{}, []byte{})
	z, err := zstd.NewWriter(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		var again, againRecords bytes.Buffer
		heads := false
		err := readEntriesFrom(bytes.NewReader(a), bytes.NewReader(z.EncodeAll(b, nil)), "c", 1, func(e entry) error {
			if !heads {
				heads = true
			}
			frame, err := work.Encode(receiptFrame{Epoch: e.Epoch, Index: e.Index, Signed: e.Signed, Task: e.Task})
			if err != nil {
				return err
			}
			writeFrame(&again, frame)
			return writeFrame(&againRecords, e.record)
		})
		if err != nil {
			return
		}
		if !bytes.HasSuffix(a, again.Bytes()) || !bytes.HasSuffix(b, againRecords.Bytes()) {
			t.Fatalf("accepted %x and %x, which are not what is written for them", a, b)
		}
	})
}

// FuzzRecordsStream feeds the decompressor.
func FuzzRecordsStream(f *testing.F) {
	z, err := zstd.NewWriter(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(z.EncodeAll(bytes.Repeat([]byte{0x41, 0}, 1000), nil))
	head, err := work.Encode(fileHead{Format: receiptsFormat, Chain: "c", Job: 1})
	if err != nil {
		f.Fatal(err)
	}
	var receipts bytes.Buffer
	writeFrame(&receipts, head)
	f.Fuzz(func(t *testing.T, b []byte) {
		_ = readEntriesFrom(bytes.NewReader(receipts.Bytes()), bytes.NewReader(b), "c", 1, func(entry) error { return nil })
	})
}

// FuzzManifest reads dataset.json and excluded.json as strangers may have written them.
func FuzzManifest(f *testing.F) {
	p, err := artifact.Canonical(Parameters{Crawl: Asked{Seeds: []string{"http://a/"}, SeedCount: 1}, Text: "cantus/text/1"})
	if err != nil {
		f.Fatal(err)
	}
	m := artifact.Manifest{Format: artifact.ManifestFormat, Type: "dataset", Parameters: p,
		Files:  []artifact.File{{Name: receiptsFile, SHA256: artifact.Digest{1}}},
		Origin: &artifact.Origin{Chain: "c", Job: 1, Kind: "crawl/1", SettledRoot: artifact.Digest{1}}}
	b, err := m.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`[{"epoch":1,"index":2,"reason":"refuted"}]`))
	f.Add([]byte(`[{"epoch":1,"index":2,"reason":"planted"}]`))
	f.Add([]byte(`[{"epoch":1,"indices":[1,3],"salt":"0900000000000000000000000000000000000000000000000000000000000000"}]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := artifact.DecodeManifest(b); err == nil {
			if p, err := readParameters(m); err == nil {
				again, err := artifact.Canonical(p)
				if err != nil || !bytes.Equal(again, m.Parameters) {
					t.Fatalf("parameters %s, again %s", m.Parameters, again)
				}
			}
		}
		if p, err := decodePlants(b, "c", 1); err == nil {
			epochs := make([]work.Epoch, 0, len(p))
			for n := range p {
				epochs = append(epochs, work.Epoch{Number: n})
			}
			slices.SortFunc(epochs, func(a, b work.Epoch) int { return cmp.Compare(a.Number, b.Number) })
			if again, err := encodePlants(epochs, p); err != nil || !bytes.Equal(again, b) {
				t.Fatalf("plants %s, again %s (%v)", b, again, err)
			}
		}
		if l, err := decodeExclusions(b); err == nil {
			if again, err := encodeExclusions(l); err != nil || !bytes.Equal(again, b) {
				t.Fatalf("exclusions %s, again %s", b, again)
			}
		}
	})
}

// A sorter gives the same order whether it had room for the lines or not.
func TestSorter(t *testing.T) {
	for _, limit := range []int{1, 100, 1 << 20} {
		s := newSorter(t.TempDir(), limit)
		for i := range 500 {
			if err := s.add([]byte{byte('a' + i*7919%26), byte('a' + i*104729%26), ' ', '{'}); err != nil {
				t.Fatal(err)
			}
		}
		var last []byte
		n := 0
		err := s.each(func(line []byte) error {
			if bytes.Compare(last, line) > 0 || line[len(line)-1] != '\n' {
				t.Fatalf("%q after %q", line, last)
			}
			last = bytes.Clone(line)
			n++
			return nil
		})
		if err != nil || n != 500 {
			t.Fatalf("%d lines, %v", n, err)
		}
		if err := s.close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestKey(t *testing.T) {
	for in, want := range map[string]string{
		"http://example.org/":                    "org,example)/",
		"https://www.Example.org:443/A?b=2&a=1":  "org,example)/a?a=1&b=2",
		"http://www23.example.org:8080/x":        "org,example:8080)/x",
		"http://www.org/":                        "org)/",
		"http://127.0.0.1:81/a%20b":              "1,0,0,127:81)/a%20b",
		"http://[2001:db8::1]/":                  "[2001:db8::1])/",
		"http://wwwx.example.org/?":              "org,example,wwwx)/",
		"ftp://example.org/":                     "ftp://example.org/",
		"http://example.org/a;b=c/d,e?q=x%2Fy&q": "org,example)/a;b=c/d,e?q&q=x%2fy",
	} {
		if got := Key(in); got != want {
			t.Errorf("Key(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestFrames(t *testing.T) {
	var out bytes.Buffer
	for _, n := range []int{0, 1, 23, 24, 255, 256, 65535, 65536} {
		if err := writeFrame(&out, make([]byte, n)); err != nil {
			t.Fatal(err)
		}
	}
	r := bufio.NewReader(bytes.NewReader(out.Bytes()))
	for _, n := range []int{0, 1, 23, 24, 255, 256, 65535, 65536} {
		b, err := readFrame(r, nil, 65536)
		if err != nil || len(b) != n {
			t.Fatalf("%d bytes, %v, want %d", len(b), err, n)
		}
	}
	if _, err := readFrame(r, nil, 1); err != io.EOF {
		t.Fatalf("at the end: %v", err)
	}
	for _, bad := range [][]byte{{0x58, 1, 0}, {0x59, 0, 255}, {0x5a, 0, 0, 255, 255}, {0x5b, 0, 0, 0, 0, 0, 0, 0, 1}, {0x5f}, {0x61, 'a'}, {0x42, 1}, {0x59, 1}, {0x5a, 255, 255, 255, 255}} {
		if _, err := readFrame(bufio.NewReader(bytes.NewReader(bad)), nil, 1<<20); err == nil || err == io.EOF {
			t.Fatalf("%x: %v", bad, err)
		}
	}
}

// The bytes of a table are part of what a release promises: see tableVersion.
func TestTableBytes(t *testing.T) {
	sum := sha256.New()
	w := newPagesWriter(sum)
	for i := range 3000 {
		r := Row{URL: fmt.Sprint("http://example.org/", i), Time: time.UnixMilli(int64(i)), Status: 200, MediaType: "text/html",
			Text: strings.Repeat(fmt.Sprint("word ", i%17, " "), i%100), Links: []string{"http://a/", fmt.Sprint("http://b/", i%7)}}
		if i%5 == 0 {
			r.DuplicateOf, r.Links = "http://c/", nil
		}
		if err := w.append(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.close(); err != nil {
		t.Fatal(err)
	}
	const want = "092077afce89953f5cc2b28d8443b329d511ecf7c3b19b660122a07f0a140986"
	if got := fmt.Sprintf("%x", sum.Sum(nil)); got != want {
		t.Fatalf("table version %s has the digest %s, and the test knows %s: a library writes other bytes, so give tableVersion the next number and put the new digest here", tableVersion, got, want)
	}
}
