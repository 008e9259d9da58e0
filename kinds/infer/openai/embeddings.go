package openai

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"net/http"
	"sync"

	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/kinds/infer/answer"
)

// Bounds of an embeddings request.
const (
	maxInputs   = 256
	inputsAside = 8 // computed at a time
)

type embeddingReply struct {
	Object string      `json:"object"`
	Data   []embedding `json:"data"`
	Model  string      `json:"model"`
	Usage  struct {
		Prompt int `json:"prompt_tokens"`
		Total  int `json:"total_tokens"`
	} `json:"usage"`
	Cantus any `json:"cantus"`
}

type embedding struct {
	Object    string `json:"object"`
	Index     int    `json:"index"`
	Embedding any    `json:"embedding"` // numbers, or base64 of them
}

func (s *server) embeddings(w http.ResponseWriter, r *http.Request, tab Tab) error {
	b, err := s.body(w, r)
	if err != nil {
		return err
	}
	m, tasks, packed, ignored, err := embeddingRequest(b, tab)
	if err != nil {
		return err
	}
	ctx, hangUp := context.WithCancelCause(r.Context())
	defer hangUp(nil)
	shown := make([]*answer.Proof, len(tasks))
	vectors := make([][]float32, len(tasks))
	// As many at a time as inputsAside; the first error ends all.
	slots := make(chan struct{}, inputsAside)
	var all sync.WaitGroup
	for i := range tasks {
		slots <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		all.Go(func() {
			defer func() { <-slots }()
			var err error
			if shown[i], vectors[i], err = embed(ctx, tab, m, tasks[i]); err != nil {
				hangUp(err) // the first one is the cause
			}
		})
	}
	all.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	reply := embeddingReply{Object: "list", Model: m.ID, Cantus: proofs(shown)}
	for i, v := range vectors {
		e := embedding{Object: "embedding", Index: i, Embedding: v}
		if packed {
			e.Embedding = pack(v)
		}
		reply.Data = append(reply.Data, e)
		reply.Usage.Prompt += len(tasks[i].Prompt)
	}
	reply.Usage.Total = reply.Usage.Prompt
	tellIgnored(w, ignored)
	receipts(w, shown[:min(len(shown), maxChoices)]) // headers are not for lists
	s.reply(w, http.StatusOK, reply)
	return nil
}

func embeddingRequest(b []byte, tab Tab) (m *Model, tasks []claim.Task, packed bool, ignored []string, err error) {
	f, err := parseBody(b)
	if err != nil {
		return nil, nil, false, nil, err
	}
	id, given := f.text("model")
	if !given && f.err == nil {
		f.fail("model", codeMissing, "Missing required parameter: 'model'.")
	}
	if f.err != nil {
		return nil, nil, false, nil, f.err
	}
	if m, err = find(tab, id); err != nil {
		return nil, nil, false, nil, err
	}
	switch format, given := f.text("encoding_format"); {
	case !given, format == "float":
	case format == "base64":
		packed = true
	default:
		f.fail("encoding_format", codeValue, "Invalid value: %.40q. Supported values are: 'float' and 'base64'.", format)
	}
	if !f.same("dimensions") {
		f.fail("dimensions", codeUnsupported, "Unsupported parameter: 'dimensions': an embedding has as many numbers as the model is wide.")
	}
	f.used["user"] = true
	texts, tokens := f.texts("input", maxInputs, m.Vocab)
	for i, t := range texts {
		if t == "" {
			f.fail("input", codeValue, "Invalid 'input[%d]': it is empty.", i)
			break
		}
		if len(t) > maxPrompt {
			return nil, nil, false, nil, tooLong("input", len(t))
		}
		tokens = append(tokens, encode(m, t, false))
	}
	if f.err != nil {
		return nil, nil, false, nil, f.err
	}
	for _, p := range tokens {
		if len(p) > m.Context {
			return nil, nil, false, nil, &failure{status: 400, kind: invalidRequest, param: "input", code: codeTooLong, message: fmt.Sprintf(
				"This model's maximum context length is %d tokens. However, your input has %d tokens. Please reduce its length.", m.Context, len(p))}
		}
		t := claim.Task{Model: m.Root, Prompt: p, Embed: true}
		if _, err := t.Encode(); err != nil {
			return nil, nil, false, nil, invalid("input", codeTooLong, "%s", err)
		}
		tasks = append(tasks, t)
	}
	return m, tasks, packed, f.ignored(), nil
}

func embed(ctx context.Context, tab Tab, m *Model, t claim.Task) (*answer.Proof, []float32, error) {
	a, err := tab.Ask(ctx, m, t)
	if err != nil {
		return nil, nil, err
	}
	p, err := a.Proof()
	if err != nil {
		return nil, nil, err
	}
	_, result, err := p.Claim()
	if err != nil {
		return nil, nil, err
	}
	return p, unit(result.Embedding), nil
}

// unit is a vector of length 1, as OpenAI's are. The proof has the numbers as they were
// computed.
func unit(v []int32) []float32 {
	var sum float64
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	out := make([]float32, len(v))
	if sum == 0 {
		return out
	}
	norm := math.Sqrt(sum)
	for i, x := range v {
		out[i] = float32(float64(x) / norm)
	}
	return out
}

// pack is base64 of numbers as little-endian float32.
func pack(v []float32) string {
	b := make([]byte, 0, 4*len(v))
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return base64.StdEncoding.EncodeToString(b)
}
