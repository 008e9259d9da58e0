// Package all is the one list of the kinds of work that this program knows.
//
//	all.go     Kinds, Names
//	models.go  a machine's directory of models, as the kind infer wants it
package all

import (
	"context"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cantus-network/cantus/kinds/crawl"
	"github.com/cantus-network/cantus/kinds/infer"
	"github.com/cantus-network/cantus/kinds/infer/engines"
	"github.com/cantus-network/cantus/kinds/infer/measured"
	"github.com/cantus-network/cantus/work"
)

// Options say what a machine has for the kinds. The zero value is a machine that has
// nothing: it knows all kinds, and answers no prompts.
type Options struct {
	Models  string // directory of models; empty for none. It need not exist yet
	Memory  int64  // for their weights, keys and values; 0 for a usual amount
	Threads int    // that one model is computed with; 0 for all processors
	// A foreign inference server that this machine answers with too: its URL, its models as
	// NAME=BACKENDNAME, and the file of the key for it. See measured.ServeOptions.
	Backend        string
	BackendModels  []string
	BackendKeyFile string
	Metrics        prometheus.Registerer
	Log            *slog.Logger
}

// backendTime is how long a foreign server may take to say what it has.
const backendTime = time.Minute

// Kinds makes one of each kind, and stop, which ends what they compute. A worker, a gateway
// and an auditor each make their own, because a kind's caches belong to the machine and the
// dialer that it is used with.
func Kinds(o Options) (kinds []work.Kind, stop func(), err error) {
	options := infer.Options{Engines: engines.Options{Memory: o.Memory, Threads: o.Threads}, Metrics: o.Metrics, Log: o.Log}
	if o.Models == "" {
		i, err := infer.New(options)
		if err != nil {
			return nil, nil, err
		}
		return []work.Kind{crawl.New(), i}, i.Close, nil
	}
	shelf := measured.NewShelf(filepath.Join(o.Models, "measured"))
	options.Models = measured.Models(Models(o.Models), shelf)
	more := measured.Options{Shelf: shelf, Log: o.Log}
	if o.Backend != "" {
		ctx, cancel := context.WithTimeout(context.Background(), backendTime)
		defer cancel()
		more.Backends, err = measured.Serve(ctx, shelf, measured.ServeOptions{
			URL: o.Backend, Models: o.BackendModels, KeyFile: o.BackendKeyFile, Vocabs: options.Models,
		})
		if err != nil {
			return nil, nil, err
		}
	}
	i, err := infer.New(options)
	if err != nil {
		return nil, nil, err
	}
	more.Infer = i
	m, err := measured.New(more)
	if err != nil {
		i.Close()
		return nil, nil, err
	}
	return []work.Kind{crawl.New(), i, m}, i.Close, nil
}

// Names are the names of all kinds.
func Names() []work.Name { return append(Usual(), measured.Name) }

// Usual are the kinds that a worker is enrolled for where nobody says otherwise: those that
// it can do and audit without a server of somebody else's beside it.
func Usual() []work.Name { return []work.Name{crawl.New().Name(), infer.Name} }
