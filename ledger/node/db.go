package node

import (
	"sync"

	cmtdb "github.com/cometbft/cometbft-db"
	cmtcfg "github.com/cometbft/cometbft/config"
)

// openDBs remembers the databases that CometBFT opened. It closes some of them
// itself when it stops and forgets others, whose locks would then keep the node
// from starting again in the same process.
type openDBs struct {
	mu  sync.Mutex
	dbs []cmtdb.DB
}

// open is a cmtcfg.DBProvider.
func (o *openDBs) open(ctx *cmtcfg.DBContext) (cmtdb.DB, error) {
	db, err := cmtcfg.DefaultDBProvider(ctx)
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	once := &closeOnce{DB: db}
	o.dbs = append(o.dbs, once)
	return once, nil
}

func (o *openDBs) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, db := range o.dbs {
		_ = db.Close()
	}
}

// closeOnce makes a second Close harmless.
type closeOnce struct {
	cmtdb.DB
	once sync.Once
	err  error
}

func (c *closeOnce) Close() error {
	c.once.Do(func() { c.err = c.DB.Close() })
	return c.err
}
