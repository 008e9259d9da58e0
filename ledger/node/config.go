package node

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"
	"time"

	cmtcfg "github.com/cometbft/cometbft/config"
	"github.com/pelletier/go-toml/v2"
	"github.com/spf13/viper"

	"github.com/cantus-network/cantus/ledger/genesis"
)

const (
	configFile  = "config/config.toml"
	appFile     = "config/app.toml"
	genesisFile = "config/genesis.json"
	dataDir     = "data"
)

// Config is config/app.toml: what a node's operator may set beside CometBFT's
// own config.toml. Nothing in it changes what a block does.
type Config struct {
	// KeepRecent is how many states are kept for queries; each tenth block the
	// older ones go. Zero keeps all of them.
	KeepRecent uint64 `toml:"keep_recent"`
	// RetainBlocks is the least number of blocks kept; zero keeps all. The network's
	// evidence age and the snapshots may keep more.
	RetainBlocks uint64 `toml:"retain_blocks"`
	// SnapshotInterval is the number of blocks between state-sync snapshots; zero
	// makes none. SnapshotKeep is how many are kept.
	SnapshotInterval uint64 `toml:"snapshot_interval"`
	SnapshotKeep     uint32 `toml:"snapshot_keep"`
	// MempoolSize is how many Cosmos transactions may wait.
	MempoolSize int `toml:"mempool_size"`
	// IndexEvents are the events that transactions can be searched by, type.attribute.
	IndexEvents []string `toml:"index_events"`
	// CORSOrigins are the origins whose pages may call JSON-RPC and REST; "*" is any.
	CORSOrigins []string `toml:"cors_origins"`
	// EthCallTimeout bounds eth_call and eth_estimateGas.
	EthCallTimeout duration `toml:"eth_call_timeout"`

	Listen struct {
		GRPC    string `toml:"grpc"`
		REST    string `toml:"rest"`
		JSONRPC string `toml:"json_rpc"`
	} `toml:"listen"`
}

// duration is a time.Duration as people write it.
type duration time.Duration

func (d *duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	*d = duration(v)
	return err
}

func (d duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// config is everything that a home's files say.
type config struct {
	app   Config
	comet *cmtcfg.Config
}

// indexed are the events by which explorers, wallets and the JSON-RPC server look
// transactions up. Each costs disk for ever, so the list is short.
var indexed = []string{
	"ethereum_tx.ethereumTxHash", "ethereum_tx.txIndex",
	"message.action", "message.sender",
	"transfer.recipient", "transfer.sender",
}

// defaultConfig is the configuration that Init writes.
func defaultConfig(home string, s Setup) config {
	comet := cmtcfg.DefaultConfig()
	comet.SetRoot(home)
	comet.Moniker = s.Moniker
	comet.LogLevel = "info"
	comet.Mempool.Type = cmtcfg.MempoolTypeApp // the application holds the pool
	comet.P2P.AddrBookStrict = false
	comet.P2P.AllowDuplicateIP = true // several nodes on one machine or behind one NAT
	comet.P2P.PersistentPeers = strings.Join(s.Peers, ",")
	comet.RPC.CORSAllowedOrigins = nil
	app := Config{
		KeepRecent:       100_000,
		RetainBlocks:     0,
		SnapshotInterval: 1000,
		SnapshotKeep:     2,
		MempoolSize:      5000,
		IndexEvents:      indexed,
		CORSOrigins:      []string{"*"}, // wallets are pages; the server holds no keys
		EthCallTimeout:   duration(5 * time.Second),
	}
	listen := Listen{RPC: "127.0.0.1:26657", P2P: "0.0.0.0:26656", GRPC: "127.0.0.1:9090", REST: "127.0.0.1:1317", JSONRPC: "127.0.0.1:8545"}
	c := comet.Consensus
	c.TimeoutPropose, c.TimeoutProposeDelta = 2*time.Second, 500*time.Millisecond
	c.TimeoutPrevote, c.TimeoutPrevoteDelta = time.Second, 500*time.Millisecond
	c.TimeoutPrecommit, c.TimeoutPrecommitDelta = time.Second, 500*time.Millisecond
	c.TimeoutCommit = 1500 * time.Millisecond
	if s.Devnet {
		c.TimeoutPropose, c.TimeoutProposeDelta = 500*time.Millisecond, 100*time.Millisecond
		c.TimeoutPrevote, c.TimeoutPrevoteDelta = 200*time.Millisecond, 100*time.Millisecond
		c.TimeoutPrecommit, c.TimeoutPrecommitDelta = 200*time.Millisecond, 100*time.Millisecond
		c.TimeoutCommit = 200 * time.Millisecond
		comet.P2P.PexReactor = false
		app.KeepRecent = 100
		app.RetainBlocks = genesis.DevnetRetainBlocks
		listen = Listen{RPC: "127.0.0.1:0", P2P: "127.0.0.1:0", GRPC: "127.0.0.1:0", REST: "127.0.0.1:0", JSONRPC: "127.0.0.1:0"}
	}
	if s.BlockPause > 0 {
		c.TimeoutCommit = s.BlockPause
	}
	if ss := s.StateSync; ss != nil {
		comet.StateSync.Enable = true
		comet.StateSync.RPCServers = ss.RPC
		comet.StateSync.TrustHeight = ss.Height
		comet.StateSync.TrustHash = ss.Hash
	}
	listen = listen.merge(s.Listen)
	comet.RPC.ListenAddress = "tcp://" + listen.RPC
	comet.P2P.ListenAddress = "tcp://" + listen.P2P
	app.Listen.GRPC, app.Listen.REST, app.Listen.JSONRPC = listen.GRPC, listen.REST, listen.JSONRPC
	return config{app: app, comet: comet}
}

// listen are the addresses that the two files give together.
func (c config) listen() Listen {
	return Listen{
		RPC:     strings.TrimPrefix(c.comet.RPC.ListenAddress, "tcp://"),
		P2P:     strings.TrimPrefix(c.comet.P2P.ListenAddress, "tcp://"),
		GRPC:    c.app.Listen.GRPC,
		REST:    c.app.Listen.REST,
		JSONRPC: c.app.Listen.JSONRPC,
	}
}

// loadConfig reads a home's two files. Unknown keys in app.toml are mistakes.
func loadConfig(home string) (config, error) {
	c := defaultConfig(home, Setup{})
	v := viper.New()
	v.SetConfigFile(filepath.Join(home, configFile))
	if err := v.ReadInConfig(); err != nil {
		return c, fmt.Errorf("read %s: %w", filepath.Join(home, configFile), err)
	}
	if err := v.Unmarshal(c.comet); err != nil {
		return c, fmt.Errorf("read %s: %w", filepath.Join(home, configFile), err)
	}
	c.comet.SetRoot(home)
	if err := c.comet.ValidateBasic(); err != nil {
		return c, fmt.Errorf("%s: %w", filepath.Join(home, configFile), err)
	}
	if c.comet.Mempool.Type != cmtcfg.MempoolTypeApp {
		return c, fmt.Errorf("%s: [mempool] type is %q: the ledger works with %q only", filepath.Join(home, configFile), c.comet.Mempool.Type, cmtcfg.MempoolTypeApp)
	}
	path := filepath.Join(home, appFile)
	raw, err := os.ReadFile(path)
	if err != nil {
		return c, fmt.Errorf("read the node's settings: %w", err)
	}
	if err := toml.NewDecoder(bytes.NewReader(raw)).DisallowUnknownFields().Decode(&c.app); err != nil {
		var strict *toml.StrictMissingError
		if errors.As(err, &strict) {
			return c, fmt.Errorf("%s: a setting that is not known:\n%s", path, strict.String())
		}
		return c, fmt.Errorf("%s: %w", path, err)
	}
	return c, c.app.validate(path)
}

func (c Config) validate(path string) error {
	switch {
	case c.SnapshotInterval > 0 && c.SnapshotKeep == 0:
		return fmt.Errorf("%s: snapshot_keep is 0 with snapshots on: set snapshot_interval to 0 to make none", path)
	case c.MempoolSize <= 0:
		return fmt.Errorf("%s: mempool_size must be positive", path)
	case c.EthCallTimeout <= 0:
		return fmt.Errorf("%s: eth_call_timeout must be positive", path)
	case c.KeepRecent > 0 && c.KeepRecent < 2:
		return fmt.Errorf("%s: keep_recent must be 0 (all) or at least 2", path)
	}
	return nil
}

// write writes both files.
func (c config) write(home string) error {
	cmtcfg.EnsureRoot(home)
	var buf bytes.Buffer
	if err := appTemplate.Execute(&buf, c.app); err != nil {
		return fmt.Errorf("write the node's settings: %w", err)
	}
	cmtcfg.WriteConfigFile(filepath.Join(home, configFile), c.comet)
	return writeFile(filepath.Join(home, appFile), buf.Bytes(), 0o644)
}

var appTemplate = template.Must(template.New("app.toml").Funcs(template.FuncMap{
	"list": func(l []string) string {
		quoted := make([]string, len(l))
		for i, s := range l {
			quoted[i] = fmt.Sprintf("%q", s)
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	},
	"text": func(d duration) string { b, _ := d.MarshalText(); return string(b) },
}).Parse(`# A ledger node's settings beside config.toml. None of them changes what a block does.

# How many states are kept for queries (0: all of them).
keep_recent = {{.KeepRecent}}
# The least number of blocks kept (0: all of them).
retain_blocks = {{.RetainBlocks}}

# Blocks between the snapshots that joining nodes fetch (0: none), and how many to keep.
snapshot_interval = {{.SnapshotInterval}}
snapshot_keep = {{.SnapshotKeep}}

# How many Cosmos transactions may wait.
mempool_size = {{.MempoolSize}}
# The events by which transactions can be found, type.attribute. Each costs disk.
index_events = {{list .IndexEvents}}

# Origins whose web pages may call REST and JSON-RPC.
cors_origins = {{list .CORSOrigins}}
# The longest that eth_call and eth_estimateGas may take.
eth_call_timeout = "{{text .EthCallTimeout}}"

# Port 0 takes a free port and keeps it for the next start.
[listen]
grpc = "{{.Listen.GRPC}}"
rest = "{{.Listen.REST}}"
json_rpc = "{{.Listen.JSONRPC}}"
`))

// writeFile replaces a file in one step.
func writeFile(path string, content []byte, mode os.FileMode) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".tmp-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(content)
	if err = errors.Join(err, tmp.Sync(), tmp.Chmod(mode), tmp.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// readGenesis reads a home's genesis file. A node that has blocks, or gets its state from
// another, does not begin with what is in it, which may be from before an upgrade.
func readGenesis(home string, cfg config) (*genesis.Genesis, error) {
	path := filepath.Join(home, genesisFile)
	if _, err := os.Stat(filepath.Join(home, dataDir, "blockstore.db")); err == nil || cfg.comet.StateSync.Enable {
		return genesis.ReadPast(path)
	}
	return genesis.Read(path)
}
