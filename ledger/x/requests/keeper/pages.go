package keeper

import (
	"bytes"

	"github.com/cantus-network/cantus/ledger/x/requests/types"
	"github.com/cantus-network/cantus/work"
	"github.com/cantus-network/cantus/work/page"
)

// reader is a reader of pages as the subject of requests.
type reader struct{ types.Form }

func (reader) units(_ types.Terms, s types.Size) uint64 {
	return types.PageUnits*uint64(types.Workers(uint32(s.Policy))) + types.RobotsUnits
}

func (reader) reserve(_ types.Terms, policy uint8) uint64 {
	return types.PageUnits*types.Tries(uint32(policy)) + types.RobotsUnits
}

// read checks that the task is to fetch the request's address and nothing else, that every
// result is a response of it and all the same but for when they were seen, and that the
// content is the one that they tell of. It gives the first one's page.
func (f reader) read(r types.Request, e *types.Evidence) ([]claimed, []byte, error) {
	url := string(r.Prompt)
	task, err := work.Encode(page.Fetch{Mode: page.ModePage, URL: url})
	if err != nil {
		return nil, nil, err
	}
	if !bytes.Equal(task, e.Task) {
		return nil, nil, types.ErrEvidence.Wrapf("the task is not that of request %d: another address, or no page", r.Id)
	}
	var claims []claimed
	var first page.Record
	for i, body := range append([][]byte{e.Result}, e.Results...) {
		rec, err := page.DecodeRecord(body)
		if err != nil {
			return nil, nil, err
		}
		if err := f.Check(rec, url); err != nil {
			return nil, nil, err
		}
		// Each has its own word on how long the page is.
		if err := f.Shows(rec, e.Spelling); err != nil {
			return nil, nil, err
		}
		if i == 0 {
			first = rec
		} else if f.Key(rec) != f.Key(first) {
			return nil, nil, types.ErrEvidence.Wrapf("testimony %d saw another page: %.200s, and the first one %.200s", i, f.Key(rec), f.Key(first))
		}
		claims = append(claims, claimed{result: work.Result{Body: body}.Digest(), units: types.PageUnits})
	}
	answer, err := types.PageOf(f.Form, first, e.Spelling, r.Terms.MaxAnswerBytes).Encode()
	return claims, answer, err
}
