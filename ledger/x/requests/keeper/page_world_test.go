package keeper_test

import (
	"slices"

	"cosmossdk.io/math"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/ledger/x/requests/types"
	"github.com/cantus-network/cantus/work"
	"github.com/cantus-network/cantus/work/page"
)

const (
	testURL  = "https://news.example/today?page=2"
	testBody = "<p>It rains in Riga."
	testText = "It rains in Riga."
)

// sight is what a worker saw of a page.
type sight struct {
	fetch   page.Fetch
	rec     page.Record
	content []byte // what evidence shows
}

// saw is a response to a request for a page, as a crawler makes records of them.
func saw(r types.Request, edit ...func(*sight)) sight {
	s := sight{
		fetch: page.Fetch{Mode: page.ModePage, URL: string(r.Prompt)},
		rec: page.Record{
			URL: string(r.Prompt), Time: 1_800_000_000_999, Status: 200, IP: "203.0.113.7", MediaType: "text/html", Charset: "utf-8",
			Digest: artifact.Sum([]byte(testBody)), Size: uint64(len(testBody)), TextDigest: artifact.Sum([]byte(testText)),
			Title: "Weather", Links: []string{"https://news.example/"}, WARC: artifact.Digest{9}, Members: [3]uint32{1, 2, 3},
		},
		content: []byte(testBody),
	}
	if form, _ := types.FormByID(r.Speaker); form == types.Text {
		s.content = []byte(testText)
	}
	for _, e := range edit {
		e(&s)
	}
	return s
}

func (s sight) units() uint64 { return types.PageUnits }

func (s sight) spelling() []byte { return slices.Clone(s.content) }

func (s sight) encode() (task, result []byte) {
	task, err := work.Encode(s.fetch)
	if err != nil {
		panic(err)
	}
	if result, err = work.Encode(s.rec); err != nil {
		panic(err)
	}
	return task, result
}

// pageTerms are the terms that models are offered on, for pages.
func pageTerms() types.Terms {
	t := terms()
	t.Price = math.NewInt(1_000_000_009)
	t.PromptUnits, t.OutputUnits, t.MaxTokens = 0, 0, 0
	return t
}

func offerPages(gateway string, f types.Form, edit ...func(*types.Terms)) *types.MsgOffer {
	t := pageTerms()
	for _, e := range edit {
		e(&t)
	}
	return &types.MsgOffer{Gateway: bech(gateway), Speaker: f.Encoded(), Terms: t}
}

func fetch(f types.Form, policy uint8) types.Ask {
	a := ask(policy)
	a.Speaker, a.Prompt, a.Sampling = f.ID(), []byte(testURL), types.Sampling{}
	return a
}

// offerPages has gateways offer both readers of pages.
func (w *world) offerPages(gateways ...string) *world {
	w.t.Helper()
	for _, name := range gateways {
		for _, f := range []types.Form{types.Body, types.Text} {
			must(w, w.msg.Offer, offerPages(name, f))
		}
	}
	return w
}

// seen is a receipt of what a worker saw of the page that a request asks for.
func seen(r types.Request, worker string, edit ...func(*sight)) receipted {
	return receipted{bodies: saw(r, edit...), worker: worker}
}

// told delivers receipts and reads the page that the contract is told.
func (g *gate) told(places ...place) (types.Call, types.Page) {
	g.w.t.Helper()
	c := g.deliver(places...)
	p, err := types.DecodePage(c.Answer)
	if err != nil {
		g.w.t.Fatal(err)
	}
	return c, p
}
