package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
)

// Listen are the addresses of a node's servers, each host:port. Port 0 asks for a
// free port; the home remembers it, so that the next start takes the same one if
// it is still free.
type Listen struct {
	RPC     string `json:"rpc" toml:"rpc"`           // CometBFT's RPC
	P2P     string `json:"p2p" toml:"p2p"`           // other nodes
	GRPC    string `json:"grpc" toml:"grpc"`         // the ledger's queries and transactions
	REST    string `json:"rest" toml:"rest"`         // the same over HTTP and JSON
	JSONRPC string `json:"json_rpc" toml:"json_rpc"` // Ethereum's JSON-RPC, HTTP and WebSocket
}

// ErrPortInUse is wrapped by the error of a Start that cannot listen where it should.
var ErrPortInUse = errors.New("address already in use")

const listenFile = "listen.json"

// parts gives each address by its name in messages and options.
func (l *Listen) parts() []struct {
	name string
	addr *string
} {
	return []struct {
		name string
		addr *string
	}{
		{"rpc", &l.RPC}, {"p2p", &l.P2P}, {"grpc", &l.GRPC}, {"rest", &l.REST}, {"json-rpc", &l.JSONRPC},
	}
}

// merge is l with o's addresses where they are not empty.
func (l Listen) merge(o Listen) Listen {
	mine, theirs := l.parts(), o.parts()
	for i := range mine {
		if a := *theirs[i].addr; a != "" {
			*mine[i].addr = a
		}
	}
	return l
}

// listeners holds a node's ports open from the moment they are known to be free
// until a server takes them.
type listeners struct {
	addrs Listen
	open  map[string]net.Listener
}

// openListeners opens every address, ports resolved.
func openListeners(home string, configured, override Listen) (_ *listeners, err error) {
	ls := &listeners{addrs: configured.merge(override), open: map[string]net.Listener{}}
	defer func() {
		if err != nil {
			ls.close()
		}
	}()
	last, _ := Running(home) // of the run before; nothing is lost without it
	was := last.parts()
	for i, p := range ls.addrs.parts() {
		l, err := listen(*p.addr, *was[i].addr)
		if err != nil {
			return nil, fmt.Errorf("listen for %s on %q: %w", p.name, *p.addr, err)
		}
		ls.open[p.name] = l
		*p.addr = l.Addr().String()
	}
	return ls, nil
}

// listen opens addr. With port 0 it tries the port of the address before first.
func listen(addr, before string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("not an address host:port: %w", err)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil {
		return nil, fmt.Errorf("port %q is not a number from 0 to 65535", port)
	} else if n == 0 {
		if _, old, err := net.SplitHostPort(before); err == nil {
			if l, err := net.Listen("tcp", net.JoinHostPort(host, old)); err == nil {
				return l, nil
			}
		}
	}
	l, err := net.Listen("tcp", addr)
	if isInUse(err) {
		return nil, fmt.Errorf("%w: stop what listens there, or choose another port", ErrPortInUse)
	}
	return l, err
}

// take hands the named listener to a server.
func (l *listeners) take(name string) net.Listener {
	ln := l.open[name]
	delete(l.open, name)
	return ln
}

// free closes the named listener for a server that insists on opening its own.
func (l *listeners) free(name string) {
	if ln := l.take(name); ln != nil {
		_ = ln.Close()
	}
}

func (l *listeners) close() {
	for name := range l.open {
		l.free(name)
	}
}

// Running gives the addresses of the node that runs, or ran last, in a home.
func Running(home string) (Listen, error) {
	raw, err := os.ReadFile(filepath.Join(home, listenFile))
	if err != nil {
		return Listen{}, fmt.Errorf("find the ledger of %s: %w", home, err)
	}
	var l Listen
	if err := json.Unmarshal(raw, &l); err != nil {
		return Listen{}, fmt.Errorf("find the ledger of %s: %s: %w", home, listenFile, err)
	}
	return l, nil
}

// recordListen writes the addresses for Running, in one step.
func recordListen(home string, l Listen) error {
	raw, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(home, listenFile), append(raw, '\n'), 0o644)
}
