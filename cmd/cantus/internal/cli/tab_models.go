package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/internal/modeldir"
	"github.com/cantus-network/cantus/kinds/infer"
	"github.com/cantus-network/cantus/kinds/infer/measured"
	"github.com/cantus-network/cantus/kinds/infer/tab"
	"github.com/cantus-network/cantus/work"
)

// isTab reports whether a standing job of a kind is a tab.
func isTab(kind work.Name) bool { return kind == infer.Name || kind == measured.Name }

// offered is a model that a gateway has.
type offered struct {
	Root   string `json:"root"`
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	Config struct {
		Context int `json:"context"`
	} `json:"config"`
}

// offeredModels asks a gateway which models it has.
func offeredModels(ctx context.Context, gateway string) ([]offered, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(gateway, "/")+"/models", nil)
	if err != nil {
		return nil, err
	}
	resp, err := (&http.Client{Timeout: 30 * time.Second}).Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the gateway which models it has: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask the gateway which models it has: %s; it may be of a version that answers no prompts", resp.Status)
	}
	var list struct{ Models []offered }
	if err := json.NewDecoder(io.LimitReader(resp.Body, 8<<20)).Decode(&list); err != nil {
		return nil, fmt.Errorf("ask the gateway which models it has: %w", err)
	}
	return list.Models, nil
}

// orderedModel is a model that a tab orders, without prices.
type orderedModel struct {
	tab.Model
	context int // tokens
}

// errNoSuchModel marks a name that a gateway has no model by.
var errNoSuchModel = errors.New("no such model")

// orderedModels finds the models of a new tab, and the kind that answers all of them. What the
// gateway calls by a name comes before the measured models of this machine, so that no
// description that lies about here makes an exact order a measured one.
func (s *session) orderedModels(list []offered, refs []string) (work.Name, []orderedModel, error) {
	shelf := measured.NewShelf(filepath.Join(s.g.home().Models(), "measured"))
	var kind work.Name
	var models []orderedModel
	for _, ref := range refs {
		is := infer.Name
		m, err := pickModel(list, ref, s.net.Gateway)
		if errors.Is(err, errNoSuchModel) && ref != "" {
			measuredOne, merr := pickMeasured(shelf, list, ref, s.net.Gateway)
			switch {
			case merr == nil:
				is, m, err = measured.Name, measuredOne, nil
			case !errors.Is(merr, fs.ErrNotExist):
				err = merr
			}
		}
		if err != nil {
			return "", nil, err
		}
		if kind != "" && is != kind {
			return "", nil, usagef("--models: %q is of kind %s, and %q of %s: a tab is of one kind; open one for each", refs[0], kind, ref, is)
		}
		kind, models = is, append(models, m)
	}
	return kind, models, nil
}

// pickMeasured finds a measured model on this machine. The gateway makes prompts of it with the
// vocabulary of the model that it was made from.
func pickMeasured(shelf *measured.Shelf, list []offered, ref, gateway string) (orderedModel, error) {
	digest, d, err := shelf.Find(strings.ToLower(ref))
	if errors.Is(err, fs.ErrNotExist) {
		digest, d, err = shelf.Find(ref)
	}
	if err != nil {
		return orderedModel{}, fmt.Errorf("--models %s: %w", ref, err)
	}
	i := slices.IndexFunc(list, func(o offered) bool { return strings.EqualFold(o.Root, d.Root.String()) })
	if i < 0 {
		return orderedModel{}, fmt.Errorf("the gateway at %s lacks the vocabulary of %s, a measured model: import there the model with the root %s", gateway, d.Name, d.Root)
	}
	return orderedModel{tab.Model{Root: digest, Name: tabName(d.Name)}, list[i].Config.Context}, nil
}

// tabName is a model's name with what a tab allows in it.
func tabName(name string) string {
	return strings.NewReplacer("@", "-", "+", "-", " ", "-").Replace(name)
}

// pickModel finds a model by its name, its root, or the beginning of that.
func pickModel(list []offered, ref, gateway string) (orderedModel, error) {
	var found []offered
	var names []string
	for _, o := range list {
		names = append(names, o.Name)
		switch {
		case strings.EqualFold(o.Root, ref):
			found = []offered{o}
		case o.Name == ref, len(ref) >= 4 && strings.HasPrefix(o.Root, strings.ToLower(ref)):
			found = append(found, o)
			continue
		default:
			continue
		}
		break
	}
	switch {
	case len(found) > 1:
		return orderedModel{}, usagef("--models %s: %d models are meant: name one by its root", ref, len(found))
	case len(found) == 0 && len(list) == 0:
		return orderedModel{}, fmt.Errorf("%w %q: the gateway at %s has none, and no measured one is described here: import one there (`cantus model import FILE`)", errNoSuchModel, ref, gateway)
	case len(found) == 0:
		return orderedModel{}, fmt.Errorf("%w %q: the gateway at %s has %s, and no measured one of that name is described here (`cantus model measured`)", errNoSuchModel, ref, gateway, strings.Join(names, ", "))
	}
	root, ok := modeldir.ParseRoot(found[0].Root)
	if !ok {
		return orderedModel{}, fmt.Errorf("the gateway at %s names a model %q by the root %.80q", gateway, ref, found[0].Root)
	}
	return orderedModel{tab.Model{Root: artifact.Digest(root), Name: tabName(found[0].Name)}, found[0].Config.Context}, nil
}
