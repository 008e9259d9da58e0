package keeper

import (
	"bytes"
	"slices"

	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/exact/speaker"
	"github.com/cantus-network/cantus/ledger/x/requests/types"
	"github.com/cantus-network/cantus/work"
)

// model is a speaker as the subject of requests.
type model struct{ *speaker.Speaker }

func (m model) units(t types.Terms, s types.Size) uint64 {
	return t.Units(m.MostTokens(int(s.PromptBytes)), int(s.MaxTokens)) * uint64(types.Workers(uint32(s.Policy)))
}

// reserve is by what the offer allows at most: a gateway keeps as much of the escrow in reserve
// for a task as any task of the offer could cost, and gives a job up that has less. So much is
// put in for each time that a worker may have to be asked.
func (m model) reserve(t types.Terms, policy uint8) uint64 {
	return t.Units(m.MostTokens(int(t.MaxPromptBytes)), int(t.MaxTokens)) * types.Tries(uint32(policy))
}

// read checks that the task is the one that the request asks for, and the result one that it
// could have, and spells out the answer.
func (m model) read(r types.Request, e *types.Evidence) ([]claimed, []byte, error) {
	task, err := claim.DecodeTask(e.Task)
	if err != nil {
		return nil, nil, err
	}
	want, err := m.Task(task.Prompt, r.Id, r.Sampling.Speakers()).Encode()
	if err != nil {
		return nil, nil, err
	}
	if !bytes.Equal(want, e.Task) {
		return nil, nil, types.ErrEvidence.Wrapf("the task is not that of request %d: another model, or other parameters", r.Id)
	}
	result, err := claim.DecodeResult(e.Result)
	if err != nil {
		return nil, nil, err
	}
	if err := result.Check(task); err != nil {
		return nil, nil, err
	}
	if result.Finish == claim.Cancelled {
		return nil, nil, types.ErrEvidence.Wrap("the result is only the beginning of an answer")
	}
	answer, err := m.spell(r, task, result, e.Spelling)
	if err != nil {
		return nil, nil, err
	}
	c := claimed{result: work.Result{Body: e.Result}.Digest(), units: r.Terms.Units(len(task.Prompt), len(result.Output))}
	return slices.Repeat([]claimed{c}, len(e.Testimonies)), answer, nil // all the same, to the bit
}

// spell checks that the prompt's tokens are the request's text and gives the answer's.
func (m model) spell(r types.Request, task *claim.Task, result *claim.Result, spelling []byte) ([]byte, error) {
	sp, err := m.Open(spelling)
	if err != nil {
		return nil, err
	}
	if err := m.Prompt(r.Prompt, task.Prompt, sp); err != nil {
		return nil, err
	}
	return m.Answer(result.Output, sp)
}
