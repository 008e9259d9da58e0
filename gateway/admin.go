package gateway

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cantus-network/cantus/gateway/api"
)

// The operator's door: a listener of its own on loopback, so that no proxy in front of the
// gateway leads there, and a token in a file that only its owner can read. `cantus gateway
// drain` and `backup` use it.
//
//	POST /drain                 ends the process as SIGTERM does
//	POST /checkpoint {"dir"}    a consistent copy of the scheduler's database

// adminFile in the gateway's directory says where the door is.
const adminFile = "admin.json"

// admin is what adminFile holds.
type admin struct {
	URL   string `json:"url"`
	Token string `json:"token"`
	PID   int    `json:"pid"`
}

func (g *Gateway) openAdmin() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("gateway: open the operator's door: %w", err)
	}
	var secret [32]byte
	rand.Read(secret[:])
	a := admin{URL: "http://" + l.Addr().String(), Token: hex.EncodeToString(secret[:]), PID: os.Getpid()}
	mux := http.NewServeMux()
	handle := func(pattern string, f route) {
		serve := g.serve("admin "+pattern, f)
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
			// A page in the operator's own browser can reach loopback, but has no token.
			if subtle.ConstantTimeCompare([]byte(token), []byte(a.Token)) != 1 {
				writeJSON(w, http.StatusUnauthorized, api.ErrorReply{Error: api.ErrorBody{Code: "unauthorized", Message: "the token in " + adminFile + " of the gateway's directory is wanted"}})
				return
			}
			serve.ServeHTTP(w, r)
		})
	}
	handle("POST /drain", g.postDrain)
	handle("POST /checkpoint", g.postCheckpoint)
	g.admin = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go g.admin.Serve(l) // until Close
	b, err := json.Marshal(a)
	if err != nil {
		return err
	}
	path := filepath.Join(g.cfg.Dir, adminFile)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("gateway: %w", err) // a file left behind could have other rights
	}
	if err := os.WriteFile(path, append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	return nil
}

func (g *Gateway) closeAdmin() {
	if g.admin == nil {
		return
	}
	_ = os.Remove(filepath.Join(g.cfg.Dir, adminFile)) // what is left behind names a port that nobody answers at
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := g.admin.Shutdown(ctx); err != nil {
		g.admin.Close()
	}
}

func (g *Gateway) postDrain(http.ResponseWriter, *http.Request) (any, error) {
	if g.Draining() {
		return nil, failf(http.StatusConflict, "draining", "the gateway drains already")
	}
	g.leave()
	return map[string]any{"status": "draining", "tasks_out": g.out()}, nil
}

func (g *Gateway) postCheckpoint(w http.ResponseWriter, r *http.Request) (any, error) {
	b, err := body(w, r, 8<<10)
	if err != nil {
		return nil, err
	}
	var q struct {
		Dir string `json:"dir"`
	}
	if err := strictJSON(b, &q); err != nil || !filepath.IsAbs(q.Dir) {
		return nil, invalid(`the body is not {"dir": "/…"}, which must not exist yet`)
	}
	if err := g.scheduler.Checkpoint(q.Dir); err != nil {
		return nil, failf(http.StatusInternalServerError, "checkpoint", "%v", err)
	}
	return map[string]any{"dir": q.Dir, "chain": g.cfg.Chain, "height": g.scheduler.Health().Height}, nil
}

// ErrNotRunning is returned by Call where no gateway runs from the directory.
var ErrNotRunning = errors.New("no gateway runs from this directory")

// Call asks the gateway that runs from dir at its operator's door.
func Call(ctx context.Context, dir, path string, question, reply any) error {
	file, err := os.ReadFile(filepath.Join(dir, adminFile))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s", ErrNotRunning, dir)
	}
	if err != nil {
		return fmt.Errorf("find the gateway's own door: %w", err)
	}
	var a admin
	if err := json.Unmarshal(file, &a); err != nil {
		return fmt.Errorf("read %s: %w", filepath.Join(dir, adminFile), err)
	}
	b, err := json.Marshal(question)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.URL+path, strings.NewReader(string(b)))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+a.Token)
	resp, err := (&http.Client{Transport: &http.Transport{}}).Do(req)
	var opErr *net.OpError
	if errors.As(err, &opErr) && opErr.Op == "dial" {
		return fmt.Errorf("%w: %s is left over from one that ended", ErrNotRunning, filepath.Join(dir, adminFile))
	}
	if err != nil {
		return fmt.Errorf("ask the gateway at %s: %w", a.URL, err)
	}
	defer resp.Body.Close()
	d := json.NewDecoder(http.MaxBytesReader(nil, resp.Body, 1<<20))
	if resp.StatusCode != http.StatusOK {
		var e api.ErrorReply
		if err := d.Decode(&e); err != nil || e.Error.Message == "" {
			e.Error.Message = resp.Status
		}
		return fmt.Errorf("the gateway says: %s", e.Error.Message)
	}
	if reply == nil {
		return nil
	}
	if err := d.Decode(reply); err != nil {
		return fmt.Errorf("read the gateway's answer: %w", err)
	}
	return nil
}
