package cli

import (
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"time"
)

// profiles serves Go's profiles where --pprof asks for them: on loopback only, since a
// profile tells much about what a process holds.
func (g *globals) profiles() error {
	if g.pprof == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(g.pprof)
	if ip := net.ParseIP(host); err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return usagef("--pprof %q: want a loopback address and a port, like 127.0.0.1:6060", g.pprof)
	}
	l, err := net.Listen("tcp", g.pprof)
	if err != nil {
		return fmt.Errorf("--pprof: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go srv.Serve(l) // a profile server that fails harms nothing
	return nil
}
