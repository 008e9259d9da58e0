package modelfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/cantus-network/cantus/exact"
)

// Bounds of a Config beyond those of package exact.
const (
	MaxVocab  = 1 << 18
	MaxLayers = 256
	MaxHeads  = 256
)

// Config is the shape of a model and the constants of its arithmetic.
type Config struct {
	Name    string `json:"name"`
	Vocab   int    `json:"vocab"`
	Dim     int    `json:"dim"`
	Hidden  int    `json:"hidden"` // of the feed-forward part
	Layers  int    `json:"layers"`
	Heads   int    `json:"heads"`
	KVHeads int    `json:"kv_heads"`
	HeadDim int    `json:"head_dim"`
	Context int    `json:"context"`          // the most positions
	Window  int    `json:"window,omitempty"` // a position sees this many, itself included; 0 for all

	RotaryPairs int  `json:"rotary_pairs"`     // how many pairs of a head are turned
	Halves      bool `json:"halves,omitempty"` // a pair lies half a head apart, not side by side

	Eps   uint64      `json:"eps"`   // of the norms, in units of 2^-32
	Score exact.Scale `json:"score"` // log2(e)/√HeadDim

	Tied     bool `json:"tied,omitempty"`      // the embedding is the output matrix as well
	QKVBias  bool `json:"qkv_bias,omitempty"`  // queries, keys and values have a bias
	HeadNorm bool `json:"head_norm,omitempty"` // queries and keys are normalised, each head alone
}

// ErrConfig says that a configuration is out of bounds.
var ErrConfig = errors.New("model configuration")

// Check refuses what is out of bounds or contradicts itself.
func (c *Config) Check() error {
	for _, v := range []struct {
		name    string
		v, most int
	}{
		{"vocab", c.Vocab, MaxVocab}, {"dim", c.Dim, exact.MaxNorm}, {"hidden", c.Hidden, exact.MaxColumns},
		{"layers", c.Layers, MaxLayers}, {"heads", c.Heads, MaxHeads}, {"kv_heads", c.KVHeads, c.Heads},
		{"head_dim", c.HeadDim, exact.MaxHead}, {"context", c.Context, exact.MaxContext},
		{"rotary_pairs", c.RotaryPairs, c.HeadDim / 2},
	} {
		if v.v < 1 || v.v > v.most {
			return fmt.Errorf("%w: %s is %d: must be from 1 to %d", ErrConfig, v.name, v.v, v.most)
		}
	}
	switch {
	case c.Heads%c.KVHeads != 0:
		return fmt.Errorf("%w: %d heads can't share %d key heads evenly", ErrConfig, c.Heads, c.KVHeads)
	case c.Heads*c.HeadDim > exact.MaxColumns:
		return fmt.Errorf("%w: %d heads of %d are more than %d columns", ErrConfig, c.Heads, c.HeadDim, exact.MaxColumns)
	case c.Window < 0:
		return fmt.Errorf("%w: window of %d", ErrConfig, c.Window)
	case c.Eps > 1<<32:
		return fmt.Errorf("%w: eps of %d/2^32 is above 1", ErrConfig, c.Eps)
	case len(c.Name) > 200:
		return fmt.Errorf("%w: name of %d bytes: at most 200", ErrConfig, len(c.Name))
	}
	if err := c.Score.Check(); err != nil {
		return fmt.Errorf("%w: score: %w", ErrConfig, err)
	}
	return nil
}

// Queries and KeyColumns are the rows of those projections.
func (c *Config) Queries() int    { return c.Heads * c.HeadDim }
func (c *Config) KeyColumns() int { return c.KVHeads * c.HeadDim }

// Encode is the one encoding of a configuration: JSON with the fields in their order.
func (c *Config) Encode() ([]byte, error) {
	b, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode model configuration: %w", err)
	}
	return b, nil
}

// DecodeConfig takes back what Encode gives and nothing else.
func DecodeConfig(b []byte) (*Config, error) {
	c := new(Config)
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(c); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	again, err := c.Encode()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(b, again) {
		return nil, fmt.Errorf("%w: not in its one encoding", ErrConfig)
	}
	return c, c.Check()
}

// First is the first position that the query at position p sees.
func (c *Config) First(p int) int {
	if c.Window == 0 {
		return 0
	}
	return max(0, p+1-c.Window)
}

// Group is how many query heads share a key head.
func (c *Config) Group() int { return c.Heads / c.KVHeads }
