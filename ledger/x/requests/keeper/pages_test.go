package keeper_test

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"cosmossdk.io/math"
	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/ledger/x/requests/types"
	worktypes "github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
	"github.com/cantus-network/cantus/work/page"
)

// expected is what a contract is told of what saw makes.
func expected(content string) types.Page {
	return types.Page{
		Status: 200, Time: 1_800_000_000, MediaType: "text/html", Digest: sha256.Sum256([]byte(content)), Content: []byte(content),
	}
}

func TestASafePage(t *testing.T) {
	for form, content := range map[types.Form]string{types.Body: testBody, types.Text: testText} {
		t.Run(form.String(), func(t *testing.T) {
			w := newWorld(t).offerPages("gate")
			before, gateBefore := w.balance("payer"), w.balance("gate")
			a := fetch(form, types.Safe)
			q, err := w.k.Quote(w.ctx, a.Size())
			require.NoError(t, err)
			// Two tries and robots.txt with five redirects; the URL, 40 bytes and a page's head.
			require.Equal(t, pageTerms().Price.MulRaw(2+6).String(), q.Escrow.String())
			require.Equal(t, types.DefaultParams().BytePrice.MulRaw(int64(len(testURL))+40+3072).String(), q.Bytes.String())
			require.Equal(t, q.Escrow.Add(q.Callback).Add(q.Delivery).Add(q.Bytes).String(), q.Fee.String())
			r := w.request(a)
			require.Equal(t, q.Fee.String(), w.spent("payer", before))
			j := w.job(r.Job)
			require.Equal(t, []any{"crawl/1", q.Escrow.String()}, []any{j.Kind, j.Escrow.String()})

			g := w.gateOf(r)
			n := g.commit(
				seen(r, "bob/0", func(s *sight) { s.fetch.Mode, s.fetch.URL = page.ModeRobots, "https://news.example/robots.txt" }),
				seen(r, "ada/0"),
			)
			g.refused(types.ErrEarly, "has not settled", g.evidence(place{n, 1}))
			g.audit(n, pass)
			g.settle(n)
			c, p := g.told(place{n, 1})
			require.Equal(t, expected(content), p)
			require.Equal(t, []any{true, types.Status_STATUS_FINAL, false}, []any{c.Due, c.Status, c.Hashed})
			require.Equal(t, work.Label(w.epoch(r.Job, n).Label), c.Label)
			must(w, w.called, report{r.Id, types.Called{GasUsed: 41_234, OK: true}, "gate"})
			w.check()

			// The page and its robots.txt are paid, and the rest comes back to the anote.
			j = g.close()
			paid := j.Escrow.Sub(j.Refunded)
			require.Equal(t, j.Price.MulRaw(2).Sub(j.AuditPrice.MulRaw(2)).Add(j.PaidAuditors).String(), paid.String())
			fees := pageTerms().DeliveryFee.Add(anote(41_234 * gasPrice))
			bytes := types.DefaultParams().BytePrice.MulRaw(int64(len(testURL) + len(c.Answer)))
			require.Equal(t, paid.Add(fees).Add(bytes).String(), w.spent("payer", before))
			require.Equal(t, fees.Add(j.PaidGateway).Neg().String(), w.spent("gate", gateBefore))
			require.Empty(t, w.lookup(r.Id).Prompt)
		})
	}
}

func TestAnOptimisticPage(t *testing.T) {
	w := newWorld(t).offerPages("gate")
	r := w.request(fetch(types.Text, types.Optimistic))
	require.Equal(t, pageTerms().Price.MulRaw(1+6).String(), r.Escrow.String())
	g := w.gateOf(r)
	n := g.commit(seen(r, "bob/1"))
	c, p := g.told(place{n, 0})
	require.Equal(t, expected(testText), p)
	require.Equal(t, []any{types.Status_STATUS_ANSWERED, work.Asserted}, []any{c.Status, c.Label})
	must(w, w.called, report{r.Id, types.Called{GasUsed: 1000, OK: true}, "gate"})
	w.check()
	g.audit(n, pass)
	g.settle(n)
	require.Equal(t, types.Status_STATUS_FINAL, must(w, w.conclude, r.Id).Status)
	w.check()
}

// Auditors that fetch again find out a page that never was. No dispute decides about pages.
func TestAPageThatIsMadeUp(t *testing.T) {
	w := newWorld(t).offerPages("gate")
	told, waits := w.request(fetch(types.Body, types.Optimistic)), w.request(fetch(types.Body, types.Safe))
	for _, r := range []types.Request{told, waits} {
		g := w.gateOf(r)
		n := g.commit(seen(r, "bob/1", snows))
		if r.Policy == types.Optimistic {
			_, p := g.told(place{n, 0})
			require.Equal(t, "It snows.", string(p.Content))
			must(w, w.called, report{r.Id, types.Called{OK: true}, "gate"})
		}
		g.audit(n, fail)
		if r.Policy == types.Safe {
			g.refused(types.ErrEvidence, "found false", g.evidence(place{n, 0}))
		}
		g.settle(n)
		require.Equal(t, worktypes.SampleStatus_SAMPLE_STATUS_FALSE, w.epoch(r.Job, n).Samples[0].Status)
		if r.Policy == types.Safe {
			g.refused(types.ErrEvidence, "found false", g.evidence(place{n, 0}))
			g.close()
			w.skip(10)
			require.Equal(t, types.Status_STATUS_FAILED, must(w, w.conclude, r.Id).Status)
		} else {
			require.Equal(t, types.Status_STATUS_REFUTED, must(w, w.conclude, r.Id).Status)
		}
		must(w, w.called, report{r.Id, types.Called{OK: true}, "anybody"})
		w.check()
	}
}

// Workers agree who saw the same at different times, from different addresses of the site.
func TestPagesThatMustAgree(t *testing.T) {
	for policy := uint8(2); policy <= 3; policy++ {
		w := newWorld(t).offerPages("gate")
		r := w.request(fetch(types.Text, policy))
		require.Equal(t, pageTerms().Price.MulRaw(int64(policy)+1+6).String(), r.Escrow.String())
		g := w.gateOf(r)
		later := func(s *sight) {
			s.rec.Time += 30_000
			s.rec.IP, s.rec.WARC, s.rec.Title, s.rec.Links = "203.0.113.8", artifact.Digest{4}, "Other", nil
			s.rec.Digest, s.rec.Size = artifact.Digest{5}, s.rec.Size+7 // another body with the same text
		}
		list := []receipted{seen(r, "ada/0"), seen(r, "bob/0", later), seen(r, "cyd/0", later)}
		edits := map[string]func(*sight){
			"404 ":         func(s *sight) { s.rec.Status = 404 },
			"true":         func(s *sight) { s.rec.Truncated = true },
			"text/plain":   func(s *sight) { s.rec.MediaType = "text/plain" },
			"/elsewhere":   func(s *sight) { s.rec.Location = "https://news.example/elsewhere" },
			"It rains not": func(s *sight) { s.rec.TextDigest = artifact.Sum([]byte("It rains not")) },
		}
		others := map[string]int{}
		for words, edit := range edits {
			others[words] = len(list)
			list = append(list, seen(r, "dan/0", edit))
		}
		must(w, w.market.TopUpJob, &worktypes.MsgTopUpJob{Buyer: bech("payer"), Job: r.Job, Amount: notes(1)})
		n := g.commit(list...)
		places := []place{{n, 0}, {n, 1}, {n, 2}}[:policy]
		g.refused(types.ErrEvidence, fmt.Sprintf("%d testimonies", policy-1), g.evidence(places[1:]...))
		g.refused(types.ErrEvidence, "second worker of", g.evidence(append(places[1:], places[len(places)-1])...))
		for words, at := range others {
			spoiled := append(append([]place{}, places[1:]...), place{n, at})
			want := words
			if words == "It rains not" {
				want = "has digest"
			}
			g.refused(types.ErrEvidence, want, g.evidence(spoiled...))
		}
		for words, edit := range map[string]func(*types.Evidence){
			"more results, want":       func(e *types.Evidence) { e.Results = e.Results[1:] },
			"more results":             func(e *types.Evidence) { e.Results = append(e.Results, e.Result) },
			"a result of 0 bytes":      func(e *types.Evidence) { e.Results[0] = nil },
			"crawl result":             func(e *types.Evidence) { e.Results[0] = e.Results[0][1:] },
			"is of another result":     func(e *types.Evidence) { e.Results[0] = e.Result },
			"1 is of a second worker ": func(e *types.Evidence) { e.Testimonies[1], e.Results[0] = e.Testimonies[0], e.Result },
		} {
			e := g.evidence(places...)
			edit(e)
			g.refused(types.ErrEvidence, words, e)
		}
		c, p := g.told(places...)
		require.Equal(t, expected(testText), p, "when the first one saw it")
		require.Equal(t, []any{types.Status_STATUS_FINAL, work.Agreed}, []any{c.Status, c.Label})
		must(w, w.called, report{r.Id, types.Called{OK: true}, "gate"})
		w.check()
	}
}

func TestPageRequestsThatAreRefused(t *testing.T) {
	w := newWorld(t)
	refused(w, types.ErrOffer, "no gateway answers", w.k.Request, fetch(types.Body, types.Safe))
	must(w, w.msg.Offer, offerPages("gate", types.Body))
	refused(w, types.ErrOffer, "no gateway answers", w.k.Request, fetch(types.Text, types.Safe))
	for words, edit := range map[string]func(*types.Ask){
		"an address of 0 bytes":       func(a *types.Ask) { a.Prompt = nil },
		"an address of 2049 bytes":    func(a *types.Ask) { a.Prompt = []byte("http://a/" + strings.Repeat("a", 2040)) },
		"want http:// or https://":    func(a *types.Ask) { a.Prompt = []byte("ftp://a/") },
		"which has none":              func(a *types.Ask) { a.Sampling.MaxTokens = 1 },
		"a page is not drawn":         func(a *types.Ask) { a.Sampling.Seed = 1 },
		"201 bytes, at most 200":      func(a *types.Ask) { a.Prompt = []byte("http://a/" + strings.Repeat("a", 192)) },
		"policy 6":                    func(a *types.Ask) { a.Policy = 6 },
		"the request may cost":        func(a *types.Ask) { a.Fee = math.OneInt() },
		"callback 0xc0ffee0000000000": func(a *types.Ask) { a.CallbackGas = 0 },
	} {
		a := fetch(types.Body, types.Safe)
		edit(&a)
		_, err := send(w, w.k.Request, a)
		require.ErrorContains(t, err, words)
	}
	refused(w, types.ErrInvalid, "want 0", w.k.Quote, types.Size{Speaker: types.Body.ID(), PromptBytes: 10, MaxTokens: 5})
	w.check()
}

func TestPageOffersThatAreRefused(t *testing.T) {
	w := newWorld(t)
	for words, edit := range map[string]func(*types.Terms){
		"prompt_units is 1, want 0 to 0":           func(t *types.Terms) { t.PromptUnits = 1 },
		"output_units is 1, want 0 to 0":           func(t *types.Terms) { t.OutputUnits = 1 },
		"max_tokens is 1, want 0 to 0":             func(t *types.Terms) { t.MaxTokens = 1 },
		"max_prompt_bytes is 2049, want 1 to 2048": func(t *types.Terms) { t.MaxPromptBytes = 2049 },
		"max_prompt_bytes is 0":                    func(t *types.Terms) { t.MaxPromptBytes = 0 },
		"max_answer_bytes is 4097":                 func(t *types.Terms) { t.MaxAnswerBytes = 4097 },
		"price":                                    func(t *types.Terms) { t.Price = math.ZeroInt() },
	} {
		refused(w, types.ErrInvalid, words, w.msg.Offer, offerPages("gate", types.Text, edit))
	}
	other := offerPages("gate", types.Body)
	other.Speaker = []byte("\x69page/head")
	refused(w, types.ErrInvalid, "not a speaker", w.msg.Offer, other)
	mixed := offer("gate")
	mixed.Speaker = types.Body.Encoded()
	refused(w, types.ErrInvalid, "prompt_units", w.msg.Offer, mixed)
	id := types.Text.ID()
	require.Equal(t, id[:], must(w, w.msg.Offer, offerPages("gate", types.Text)).Id)
	s, err := w.query.Speaker(w.ctx, &types.QuerySpeakerRequest{Id: id.String()})
	require.NoError(t, err)
	require.Equal(t, types.Text.Encoded(), s.Speaker)
	must(w, w.msg.WithdrawOffer, &types.MsgWithdrawOffer{Gateway: bech("gate"), Speaker: id[:]})
	w.check()
}

// The cheapest gateway gets the page; its terms are the ones that count.
func TestTheCheapestPageIsTaken(t *testing.T) {
	w := newWorld(t).offerPages("gate")
	w.gateway("door")
	must(w, w.msg.Offer, offerPages("door", types.Body, func(t *types.Terms) { t.Price = t.Price.SubRaw(1) }))
	require.Equal(t, bech("door"), w.request(fetch(types.Body, types.Safe)).Gateway)
	require.Equal(t, bech("gate"), w.request(fetch(types.Text, types.Safe)).Gateway)
	w.check()
}

func TestPageEvidenceThatIsRefused(t *testing.T) {
	w := newWorld(t).offerPages("gate")
	r, other := w.request(fetch(types.Body, types.Optimistic)), w.request(fetch(types.Body, types.Optimistic))
	model := w.request(ask(types.Optimistic))
	g, elsewhere, speaks := w.gateOf(r), w.gateOf(other), w.gateOf(model)
	must(w, w.market.TopUpJob, &worktypes.MsgTopUpJob{Buyer: bech("payer"), Job: r.Job, Amount: notes(1)})
	good := place{g.commit(seen(r, "ada/0")), 0}
	away := place{elsewhere.commit(seen(other, "ada/0")), 0}
	spoken := place{speaks.commit(receipted{bodies: said(model, "yes"), worker: "ada/0"}), 0}
	signed := func(edit func(*sight), receipt func(*work.Receipt)) place {
		x := seen(r, "ada/0")
		if edit != nil {
			x = seen(r, "ada/0", edit)
		}
		x.edit = receipt
		return place{g.commit(x), 0}
	}
	for words, p := range map[string]place{
		"not that of request 1: another address": signed(func(s *sight) { s.fetch.URL, s.rec.URL = "https://news.example/", "https://news.example/" }, nil),
		"another address, or no page":            signed(func(s *sight) { s.fetch.Mode = page.ModeRobots }, nil),
		"1: another address, or no page":         signed(func(s *sight) { s.fetch.Depth = 1 }, nil),
		"the record is of":                       signed(func(s *sight) { s.rec.URL += "3" }, nil),
		`of no response: "timeout"`: signed(func(s *sight) {
			s.rec, s.content = page.Record{URL: s.rec.URL, Time: s.rec.Time, Error: "timeout"}, nil
		}, nil),
		"a record with status 199":   signed(func(s *sight) { s.rec.Status = 199 }, nil),
		"a record with status 600":   signed(func(s *sight) { s.rec.Status = 600 }, nil),
		`error "tls"`:                signed(func(s *sight) { s.rec.Error = "tls" }, nil),
		"and time 0":                 signed(func(s *sight) { s.rec.Time = 0 }, nil),
		"has digest":                 signed(func(s *sight) { s.content = []byte(testText) }, nil), // the text of a body
		"the page's body is missing": signed(func(s *sight) { s.content = nil }, nil),
		"of 4096 bytes is so short":  signed(func(s *sight) { s.content, s.rec.Size = nil, 4096 }, nil),
		"the page has 20 bytes":      signed(func(s *sight) { s.rec.Size = 5000 }, nil),
		"the record says e3b0c442":   signed(func(s *sight) { s.rec.Digest = artifact.Sum([]byte{}) }, nil),
		"the record says 000":        signed(func(s *sight) { s.rec.Digest = artifact.Digest{} }, nil),
		"2 units, and it took 1":     signed(nil, func(r *work.Receipt) { r.Units = 2 }),
		"is of another task":         signed(nil, func(r *work.Receipt) { r.Task[0]++ }),
		"is of another result":       signed(nil, func(r *work.Receipt) { r.Result[0]++ }),
	} {
		g.refused(types.ErrEvidence, words, g.evidence(p))
	}
	for words, e := range map[string]func() *types.Evidence{
		"it is of job 2": func() *types.Evidence {
			e := g.evidence(good)
			e.Testimonies = elsewhere.evidence(away).Testimonies
			return e
		},
		"a task of 0 bytes": func() *types.Evidence { e := g.evidence(good); e.Task = nil; return e },
		"a result of 0":     func() *types.Evidence { e := g.evidence(good); e.Result = nil; return e },
		"crawl result": func() *types.Evidence {
			e := g.evidence(good)
			e.Result = append(e.Result, 0)
			return e
		},
		"1 more results, want 0": func() *types.Evidence {
			e := g.evidence(good)
			e.Results = [][]byte{e.Result}
			return e
		},
		"another address, or no page": func() *types.Evidence { return speaks.evidence(spoken) }, // a model's answer to a request for a page
	} {
		g.refused(types.ErrEvidence, words, e())
	}
	// And a page is no answer of a model.
	speaks.refused(types.ErrEvidence, "decode task", g.evidence(good))
	e := speaks.evidence(spoken)
	e.Results = [][]byte{e.Result}
	speaks.refused(types.ErrEvidence, "all workers give the same one", e)

	_, p := g.told(good)
	require.Equal(t, expected(testBody), p)
	must(w, w.called, report{r.Id, types.Called{}, "gate"})
	w.check()
}

// What is too long for the ledger is left out, and nothing else is.
func TestWhatAPageLeavesOut(t *testing.T) {
	long := strings.Repeat("rain ", 12) // more than the 40 bytes of the terms
	body := func(content string) func(*sight) {
		return func(s *sight) {
			s.content = []byte(content)
			s.rec.Digest, s.rec.Size = artifact.Sum(s.content), uint64(len(content))
		}
	}
	text := func(content string, size uint64) func(*sight) {
		return func(s *sight) {
			s.content, s.rec.TextDigest, s.rec.Size = []byte(content), artifact.Sum([]byte(content)), size
		}
	}
	hide := func(s *sight) { s.content = nil }
	var nothing [32]byte
	for name, c := range map[string]struct {
		form  types.Form
		edits []func(*sight)
		want  types.Page
	}{
		"a body of 40 bytes":     {types.Body, []func(*sight){body(long[:40])}, types.Page{Digest: sha256.Sum256([]byte(long[:40])), Content: []byte(long[:40])}},
		"a body of 41 bytes":     {types.Body, []func(*sight){body(long[:41])}, types.Page{Digest: sha256.Sum256([]byte(long[:41]))}},
		"a body that nobody has": {types.Body, []func(*sight){body(strings.Repeat("a", 4097)), hide}, types.Page{Digest: sha256.Sum256([]byte(strings.Repeat("a", 4097)))}},
		"a large body all the same": {types.Body, []func(*sight){body(strings.Repeat("a", 4097))},
			types.Page{Digest: sha256.Sum256([]byte(strings.Repeat("a", 4097)))}},
		"no body":                   {types.Body, []func(*sight){body("")}, types.Page{Digest: sha256.Sum256(nil)}},
		"a body without a digest":   {types.Body, []func(*sight){body(""), func(s *sight) { s.rec.Digest = artifact.Digest{} }}, types.Page{Digest: nothing}},
		"no text":                   {types.Text, []func(*sight){hide, func(s *sight) { s.rec.TextDigest = artifact.Digest{} }}, types.Page{}},
		"an empty text":             {types.Text, []func(*sight){text("", 100)}, types.Page{Digest: sha256.Sum256(nil)}},
		"a short text, a long page": {types.Text, []func(*sight){text("It rains.", 1<<20)}, types.Page{Digest: sha256.Sum256([]byte("It rains.")), Content: []byte("It rains.")}},
		"a text of a long page":     {types.Text, []func(*sight){text(long, 64<<10+1), hide}, types.Page{Digest: sha256.Sum256([]byte(long))}},
		"a long text":               {types.Text, []func(*sight){text(long, 64<<10)}, types.Page{Digest: sha256.Sum256([]byte(long))}},
		"a redirect": {types.Body, []func(*sight){body(""), func(s *sight) {
			s.rec.Status, s.rec.Location, s.rec.MediaType = 301, "https://news.example/tomorrow", ""
		}}, types.Page{Status: 301, Location: "https://news.example/tomorrow", Digest: sha256.Sum256(nil)}},
		"a redirect to nowhere short": {types.Body, []func(*sight){body(""), func(s *sight) {
			s.rec.Status, s.rec.Location = 302, "https://news.example/"+strings.Repeat("a", 2048)
		}}, types.Page{Status: 302, Digest: sha256.Sum256(nil)}},
		"a strange type": {types.Body, []func(*sight){func(s *sight) { s.rec.MediaType = strings.Repeat("a", 256) }},
			types.Page{MediaType: "-", Digest: sha256.Sum256([]byte(testBody)), Content: []byte(testBody)}},
		"one that is cut": {types.Body, []func(*sight){func(s *sight) { s.rec.Truncated, s.rec.Status = true, 503 }},
			types.Page{Status: 503, Cut: true, Digest: sha256.Sum256([]byte(testBody)), Content: []byte(testBody)}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t).offerPages("gate")
			r := w.request(fetch(c.form, types.Optimistic))
			g := w.gateOf(r)
			x := seen(r, "ada/0", c.edits...)
			want := c.want
			want.Time = 1_800_000_000
			if want.Status == 0 {
				want.Status = 200
			}
			if want.Content == nil {
				want.Content = []byte{}
			}
			if want.MediaType == "-" {
				want.MediaType = ""
			} else {
				want.MediaType = x.bodies.(sight).rec.MediaType
			}
			call, p := g.told(place{g.commit(x), 0})
			require.Equal(t, want, p)
			require.Equal(t, uint8(types.Status_STATUS_ANSWERED), call.StatusCode(), "never by its digest alone")
			must(w, w.called, report{r.Id, types.Called{OK: true}, "gate"})
			w.check()
		})
	}
}

// The longest page fits into what was paid for its bytes.
func TestTheLongestPage(t *testing.T) {
	w := newWorld(t)
	must(w, w.msg.Offer, offerPages("gate", types.Body, func(t *types.Terms) { t.MaxAnswerBytes = types.MaxAnswer }))
	r := w.request(fetch(types.Body, types.Optimistic))
	g := w.gateOf(r)
	n := g.commit(seen(r, "ada/0", func(s *sight) {
		s.content = []byte(strings.Repeat("a", types.MaxAnswer))
		s.rec.Digest, s.rec.Size = artifact.Sum(s.content), types.MaxAnswer
		s.rec.MediaType, s.rec.Location = strings.Repeat("b", 255), "http://a/"+strings.Repeat("c", 2039)
	}))
	c, p := g.told(place{n, 0})
	require.Len(t, p.Content, types.MaxAnswer)
	require.Len(t, p.Location, types.MaxURL)
	require.Len(t, p.MediaType, 255)
	require.LessOrEqual(t, len(c.Answer), types.PageHead+types.MaxAnswer)
	must(w, w.called, report{r.Id, types.Called{OK: true}, "gate"})
	w.check()
}
