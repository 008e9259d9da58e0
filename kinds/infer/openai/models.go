package openai

import (
	"fmt"
	"net/http"
	"strings"
)

// modelObject is a model as OpenAI lists it, and what vLLM says of it besides.
type modelObject struct {
	ID      string      `json:"id"`
	Object  string      `json:"object"`
	Created int64       `json:"created"`
	Owner   string      `json:"owned_by"`
	Root    string      `json:"root"`
	Context int         `json:"max_model_len"`
	Cantus  modelPrices `json:"cantus"`
}

type modelPrices struct {
	Root        string `json:"root"`
	PromptUnits uint64 `json:"prompt_units"` // of a token
	OutputUnits uint64 `json:"output_units"`
}

func objectOf(m *Model) modelObject {
	root := m.Root.String()
	return modelObject{
		ID: m.ID, Object: "model", Created: m.Created.Unix(), Owner: m.Owner, Root: root, Context: m.Context,
		Cantus: modelPrices{root, m.PromptUnits, m.OutputUnits},
	}
}

func (s *server) models(w http.ResponseWriter, _ *http.Request, tab Tab) error {
	list := struct {
		Object string        `json:"object"`
		Data   []modelObject `json:"data"`
	}{"list", []modelObject{}}
	for _, m := range tab.Models() {
		list.Data = append(list.Data, objectOf(&m))
	}
	s.reply(w, http.StatusOK, list)
	return nil
}

func (s *server) model(w http.ResponseWriter, r *http.Request, tab Tab) error {
	m, err := find(tab, r.PathValue("id"))
	if err != nil {
		return err
	}
	s.reply(w, http.StatusOK, objectOf(m))
	return nil
}

// find finds a model by its name or its root.
func find(tab Tab, id string) (*Model, error) {
	list := tab.Models()
	for i := range list {
		if list[i].ID == id {
			return &list[i], nil
		}
	}
	for i := range list {
		if strings.EqualFold(list[i].Root.String(), id) {
			return &list[i], nil
		}
	}
	return nil, &failure{status: http.StatusNotFound, kind: invalidRequest, param: "model", code: "model_not_found",
		message: fmt.Sprintf("The model %.100q does not exist or your key has no access to it. GET /v1/models lists those that it has.", id)}
}

// fingerprint is what OpenAI calls the backend's configuration: here the model's very bytes.
func fingerprint(m *Model) string { return "fp_" + m.Root.String()[:12] }
