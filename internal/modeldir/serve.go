package modeldir

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"strings"

	"github.com/cantus-network/cantus/exact/modelfile"
)

// offer is what others are told of a model: where it came from is not their business.
type offer struct {
	Root       string           `json:"root"`
	Name       string           `json:"name"`
	Licence    string           `json:"licence,omitempty"`
	Bytes      int64            `json:"bytes"`
	Parameters int64            `json:"parameters"`
	Config     modelfile.Config `json:"config"`
}

type offers struct {
	Models []offer `json:"models"`
}

// Handler serves the models to whoever asks:
//
//	GET /models         what there is, in JSON
//	GET /models/{root}  a model's file, or a range of it; the root is written out
func (d *Dir) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /models", d.serveList)
	mux.HandleFunc("GET /models/{root}", d.serveFile)
	return mux
}

func (d *Dir) serveList(w http.ResponseWriter, _ *http.Request) {
	list, err := d.List()
	if err != nil {
		http.Error(w, "the models can't be listed at present", http.StatusInternalServerError)
		return
	}
	out := offers{Models: []offer{}}
	for _, e := range list {
		if e.Problem == "" {
			out.Models = append(out.Models, offer{e.Hex(), e.Name, e.Licence, e.Bytes, e.Parameters, e.Config})
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-cache")
	_ = json.NewEncoder(w).Encode(out) // a client that is gone
}

func (d *Dir) serveFile(w http.ResponseWriter, r *http.Request) {
	root, ok := ParseRoot(r.PathValue("root"))
	if !ok {
		http.Error(w, "want the root of a model in 64 hexadecimal digits; GET /models lists them", http.StatusNotFound)
		return
	}
	f, err := os.Open(d.file(root, fileSuffix))
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			http.Error(w, "no such model here; GET /models lists those there are", http.StatusNotFound)
			return
		}
		http.Error(w, "the model can't be read at present", http.StatusInternalServerError)
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		http.Error(w, "the model can't be read at present", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("ETag", `"`+strings.ToLower(r.PathValue("root"))+`"`)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	http.ServeContent(w, r, "", info.ModTime(), f)
}
