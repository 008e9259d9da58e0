// Command make turns what train.py wrote into the demo model's file and measures what the
// conversion to integers cost:
//
//	go run ./models/demo/make -from DIR -to models/demo
//
// DIR is in Hugging Face's layout, with kept.jsonl, the questions of the test, and
// training.json, how the training ended. Written are demo.cantus, kept.jsonl and demo.json.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"

	"github.com/cantus-network/cantus/exact"
	"github.com/cantus-network/cantus/exact/convert"
	"github.com/cantus-network/cantus/exact/kernel"
	"github.com/cantus-network/cantus/exact/model"
	"github.com/cantus-network/cantus/exact/tokenizer"
)

func main() {
	from := flag.String("from", "", "directory that train.py wrote")
	to := flag.String("to", filepath.Join("models", "demo"), "directory to write into")
	flag.Parse()
	if err := run(*from, *to); err != nil {
		fmt.Fprintln(os.Stderr, "make:", err)
		os.Exit(1)
	}
}

// report is demo.json.
type report struct {
	Root       string          `json:"root"`
	Parameters int             `json:"parameters"`
	Bytes      int             `json:"bytes"`
	Training   json.RawMessage `json:"training"`
	Float      loss            `json:"float32"`
	Exact      loss            `json:"exact"`
	Cost       string          `json:"cost_of_the_conversion"` // of perplexity
	Answers    []exchange      `json:"answers"`
}

// exchange is a question and what the model makes of it, always the likeliest token.
type exchange struct {
	Question string `json:"question"`
	Answer   string `json:"answer"`
}

// questions are what the report asks.
var questions = []string{
	"What is a dog?", "What is music?", "What is the opposite of hot?", "What is another word for car?", "Name some kinds of bird.",
	"What are the parts of a tree?", "What does it mean to travel?", "Use house in a sentence.", "Who are you?",
}

// answerTokens is the most of an answer.
const answerTokens = 60

// loss is what a model makes of the answers of the test, to each of their tokens.
type loss struct {
	Tokens     int     `json:"tokens"`
	Mean       float64 `json:"mean_loss"`
	Perplexity float64 `json:"perplexity"`
}

func run(from, to string) error {
	if from == "" {
		return errors.New("from where? give -from DIR, what train.py wrote")
	}
	kept, err := os.ReadFile(filepath.Join(from, "kept.jsonl"))
	if err != nil {
		return err
	}
	training, err := os.ReadFile(filepath.Join(from, "training.json"))
	if err != nil {
		return err
	}
	var ended struct {
		Loss float64 `json:"loss"`
	}
	if err := json.Unmarshal(training, &ended); err != nil || ended.Loss <= 0 {
		return fmt.Errorf("training.json tells no loss: %w", err)
	}
	var file bytes.Buffer
	root, err := convert.FromDir(&file, from, convert.Options{Name: "cantus-demo"})
	if err != nil {
		return err
	}
	m, err := model.Load(bytes.NewReader(file.Bytes()), int64(file.Len()))
	if err != nil {
		return err
	}
	got, err := measure(m, bytes.NewReader(kept))
	if err != nil {
		return err
	}
	r := report{
		Root: fmt.Sprintf("%x", root), Bytes: file.Len(), Training: training,
		Float: loss{got.Tokens, ended.Loss, math.Exp(ended.Loss)}, Exact: got,
		Cost: fmt.Sprintf("%+.3f %%", 100*(math.Exp(got.Mean-ended.Loss)-1)),
	}
	// Tied: the embedding is counted once. Four norms' worth of what is left are gains.
	r.Parameters = m.Vocab*m.Dim + m.Dim + m.Layers*(2*m.Dim+2*m.Dim*m.Heads*m.HeadDim+2*m.Dim*m.KVHeads*m.HeadDim+3*m.Dim*m.Hidden)
	if r.Answers, err = answers(m); err != nil {
		return err
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	for name, b := range map[string][]byte{"demo.cantus": file.Bytes(), "kept.jsonl": kept, "demo.json": append(text, '\n')} {
		if err := os.WriteFile(filepath.Join(to, name), b, 0o644); err != nil {
			return err
		}
	}
	fmt.Printf("%s\n", text)
	return nil
}

// answers asks the questions, each in a conversation of its own.
func answers(m *model.Model) ([]exchange, error) {
	tok, err := tokenizer.Parse(m.Tokenizer)
	if err != nil {
		return nil, err
	}
	cache := model.NewCache(m, 64)
	r := model.NewRunner(m, kernel.Best(), 1)
	defer r.Close()
	var out []exchange
	for _, q := range questions {
		prompt := tok.Encode("<|im_start|>user\n"+q+"<|im_end|>\n<|im_start|>assistant\n", true, false)
		ids, err := proceed(m, r, cache, prompt, tok.Stops)
		if err != nil {
			return nil, err
		}
		out = append(out, exchange{q, tok.Decode(ids)})
	}
	return out, nil
}

// proceed goes on from a prompt with the likeliest tokens, to the one that ends the answer.
func proceed(m *model.Model, r *model.Runner, cache *model.Cache, next []uint32, stops func(int) bool) ([]uint32, error) {
	s := cache.NewSequence(nil)
	defer s.Release()
	if err := s.Reserve(len(next) + answerTokens); err != nil {
		return nil, err
	}
	logits := make([]int32, m.Vocab)
	var out []uint32
	for len(out) < answerTokens {
		rows := make([]model.Row, len(next))
		for i, id := range next {
			rows[i] = model.Row{Seq: s, Token: id}
		}
		rows[len(rows)-1].Logits = logits
		if err := r.Forward(rows); err != nil {
			return nil, err
		}
		id := exact.Greedy(logits)
		out = append(out, uint32(id))
		if stops(id) {
			break
		}
		next = []uint32{uint32(id)}
	}
	return out, nil
}

// question is a line of kept.jsonl.
type question struct {
	Ask    string `json:"ask"`
	Read   string `json:"read"`
	Learnt string `json:"learnt"`
	Tokens int    `json:"tokens"` // of the answer, as the trainer counted them
}

// measure gives the loss over the answers, each after its question.
func measure(m *model.Model, kept io.Reader) (loss, error) {
	var l loss
	tok, err := tokenizer.Parse(m.Tokenizer)
	if err != nil {
		return l, err
	}
	cache := model.NewCache(m, 64)
	r := model.NewRunner(m, kernel.Best(), 1)
	defer r.Close()
	var sum float64
	lines := bufio.NewScanner(kept)
	for lines.Scan() {
		var q question
		if err := json.Unmarshal(lines.Bytes(), &q); err != nil {
			return l, fmt.Errorf("kept.jsonl: %w", err)
		}
		read, learnt := tok.Encode(q.Read, true, false), tok.Encode(q.Learnt, true, false)
		if len(learnt) != q.Tokens {
			return l, fmt.Errorf("%q has %d tokens here and had %d in the training: the tokenizers differ", q.Learnt, len(learnt), q.Tokens)
		}
		each, err := losses(m, r, cache, read, learnt)
		if err != nil {
			return l, err
		}
		sum += each
		l.Tokens += len(learnt)
	}
	l.Mean = sum / float64(l.Tokens)
	l.Perplexity = math.Exp(l.Mean)
	return l, lines.Err()
}

// losses adds up -ln of the probabilities of an answer's tokens.
func losses(m *model.Model, r *model.Runner, cache *model.Cache, read, learnt []uint32) (float64, error) {
	ids := append(read, learnt...)
	s := cache.NewSequence(nil)
	defer s.Release()
	if err := s.Reserve(len(ids)); err != nil {
		return 0, err
	}
	rows := make([]model.Row, len(ids)-1)
	for i := range rows {
		rows[i] = model.Row{Seq: s, Token: ids[i]}
		if i >= len(read)-1 {
			rows[i].Logits = make([]int32, m.Vocab)
		}
	}
	for at := 0; at < len(rows); at += model.MaxRows {
		if err := r.Forward(rows[at:min(at+model.MaxRows, len(rows))]); err != nil {
			return 0, err
		}
	}
	var sum float64
	for i, want := range learnt {
		logits := rows[len(read)-1+i].Logits
		var total float64
		top := logits[0]
		for _, v := range logits {
			top = max(top, v)
		}
		for _, v := range logits {
			total += math.Exp(float64(v-top) / (1 << exact.WideBits))
		}
		sum += math.Log(total) - float64(logits[want]-top)/(1<<exact.WideBits)
	}
	return sum, nil
}
