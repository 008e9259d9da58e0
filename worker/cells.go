package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/cantus-network/cantus/work"
)

const (
	maxCells     = 4096
	maxCellName  = 64
	maxCellURL   = 512
	maxCellsBody = 4 << 20
)

// target is what to connect to: a gateway, or a cell of it.
type target struct {
	url  string
	key  work.PublicKey // if not zero, whose key it must be
	cell string
	// stranger marks one that the worker's owner never named: only its bond vouches for it,
	// so it gets no connection to other than public addresses.
	stranger bool
}

// cellCache is the list of a place's cells as it was read last.
type cellCache struct {
	mu      sync.Mutex
	account string // the gateway's, once it is known
	cells   []work.Cell
}

// resolve says where this worker belongs at a place: to its cell where the gateway has
// cells, else to the gateway. A list that can't be read is taken to be as it was.
func (w *Worker) resolve(ctx context.Context, p *place) target {
	p.cells.mu.Lock()
	defer p.cells.mu.Unlock()
	cells, err := w.readCells(ctx, p)
	if err == nil {
		p.cells.cells = cells
	} else if ctx.Err() == nil {
		w.log.Debug("read the list of a gateway's cells", "gateway", p.URL, "err", err)
	}
	names := make([]string, len(p.cells.cells))
	at := map[string]string{}
	for i, c := range p.cells.cells {
		names[i], at[c.Name] = c.Name, c.URL
	}
	t := target{url: p.URL, key: p.Key}
	if name := work.CellOf(w.cfg.Key.Public(), names); name != "" {
		t.cell, t.url = name, at[name]
	}
	return t
}

// readCells reads the list from the ledger, which the gateway can't change unseen, or else
// from the gateway.
func (w *Worker) readCells(ctx context.Context, p *place) ([]work.Cell, error) {
	base, err := gatewayURL(p.URL, w.cfg.Insecure)
	if err != nil {
		return nil, err
	}
	if w.cfg.Ledger != nil {
		if p.cells.account == "" {
			info, err := w.fetchInfo(ctx, base, target{url: p.URL, key: p.Key})
			if err != nil {
				return nil, err
			}
			p.cells.account = info.Account
		}
		if p.cells.account != "" {
			g, err := w.cfg.Ledger.Gateway(ctx, p.cells.account)
			if err == nil {
				return w.checkCells(g.Cells)
			}
			w.log.Warn("read a gateway's cells from the ledger; asking the gateway", "gateway", p.URL, "err", err)
		}
	}
	return w.askCells(ctx, base)
}

// askCells asks a gateway for its cells. One without the route has none.
func (w *Worker) askCells(ctx context.Context, base *url.URL) ([]work.Cell, error) {
	b, err := w.get(ctx, nil, base.JoinPath("/v1/cells"), maxCellsBody)
	if s := new(statusError); errors.As(err, &s) && s.code == http.StatusNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ask the gateway at %s for its cells: %w", base, err)
	}
	return w.parseCells(b)
}

func (w *Worker) parseCells(b []byte) ([]work.Cell, error) {
	var list []struct {
		Name string `json:"name"`
		URL  string `json:"url"`
	}
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, fmt.Errorf("read a list of cells: %w", err)
	}
	cells := make([]work.Cell, len(list))
	for i, c := range list {
		cells[i] = work.Cell{Name: c.Name, URL: c.URL}
	}
	return w.checkCells(cells)
}

// checkCells refuses a list that no worker could go by.
func (w *Worker) checkCells(cells []work.Cell) ([]work.Cell, error) {
	if len(cells) > maxCells {
		return nil, fmt.Errorf("%d cells, at most %d", len(cells), maxCells)
	}
	seen := map[string]bool{}
	for _, c := range cells {
		switch {
		case c.Name == "" || len(c.Name) > maxCellName || len(c.URL) > maxCellURL:
			return nil, fmt.Errorf("cell %.80q: a name of %d characters and a URL of %d, at most %d and %d", c.Name, len(c.Name), len(c.URL), maxCellName, maxCellURL)
		case seen[c.Name]:
			return nil, fmt.Errorf("cell %.80q is listed twice", c.Name)
		}
		seen[c.Name] = true
		if _, err := gatewayURL(c.URL, w.cfg.Insecure); err != nil {
			return nil, fmt.Errorf("cell %.80q: %w", c.Name, err)
		}
	}
	return cells, nil
}

// statusError is an answer with another status than 200.
type statusError struct{ code int }

func (e *statusError) Error() string {
	return fmt.Sprintf("HTTP status %d: is this the URL of a gateway?", e.code)
}

// get fetches a small document from a gateway, by dial where that isn't nil. It follows no
// redirects.
func (w *Worker) get(ctx context.Context, dial work.DialFunc, u *url.URL, limit int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: w.cfg.TLS.Clone(), DisableKeepAlives: true}
	if dial != nil {
		transport.Proxy, transport.DialContext = nil, dial
	}
	client := http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, &statusError{resp.StatusCode}
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("an answer of more than %d bytes", limit)
	}
	return b, err
}
