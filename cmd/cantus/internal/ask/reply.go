package ask

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/cantus-network/cantus/kinds/infer/answer"
)

// ParseReply reads a reply of the routes in OpenAI's shape with the receipts of its answers,
// or a receipt alone. Errors go on after the name of what was read.
func ParseReply(b []byte) (*Reply, []*answer.Proof, error) {
	b = bytes.TrimSpace(b)
	var r Reply
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, nil, fmt.Errorf("is no answer: %w", err)
	}
	field := []byte(r.Cantus)
	if len(field) == 0 {
		var alone struct{ Receipt json.RawMessage }
		if json.Unmarshal(b, &alone) != nil || len(alone.Receipt) == 0 {
			return nil, nil, errors.New(`is no answer with a receipt: it has no field "cantus"`)
		}
		field = b
	}
	list := []json.RawMessage{field}
	if field[0] == '[' {
		if err := json.Unmarshal(field, &list); err != nil {
			return nil, nil, fmt.Errorf("has receipts that can't be read: %w", err)
		}
	}
	var proofs []*answer.Proof
	for i, one := range list {
		p, err := answer.Parse(one)
		if err != nil {
			return nil, nil, fmt.Errorf("has a receipt, number %d, that is none: %w", i+1, err)
		}
		proofs = append(proofs, p)
	}
	if n := max(len(r.Choices), len(r.Data)); len(proofs) == 0 || n > 0 && n != len(proofs) {
		return nil, nil, fmt.Errorf("has %d answers and %d receipts", n, len(proofs))
	}
	return &r, proofs, nil
}
