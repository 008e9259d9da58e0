package node

import (
	"github.com/prometheus/client_golang/prometheus"
)

// collector shows a node's state to Prometheus, read when asked for.
type collector struct {
	node     *Node
	registry prometheus.Registerer

	height, appHeight, waiting, peers, syncing, blockTime *prometheus.Desc
}

func newCollector(n *Node, r prometheus.Registerer) *collector {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("cantus_ledger_"+name, help, nil, prometheus.Labels{"chain": n.chainID})
	}
	return &collector{
		node: n, registry: r,
		height:    desc("block_height", "Height of the latest block."),
		appHeight: desc("state_height", "Height of the latest state that was committed."),
		waiting:   desc("mempool_transactions", "Transactions that wait for a block."),
		peers:     desc("peers", "Nodes that this one is connected to."),
		syncing:   desc("syncing", "1 while the node catches up with the network."),
		blockTime: desc("block_time_seconds", "Time of the latest block, in seconds since 1970."),
	}
}

func (c *collector) register() error { return c.registry.Register(c) }
func (c *collector) unregister()     { c.registry.Unregister(c) }

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.height, c.appHeight, c.waiting, c.peers, c.syncing, c.blockTime} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
	gauge(c.height, float64(c.node.Height()))
	gauge(c.appHeight, float64(c.node.app.LastBlockHeight()))
	gauge(c.waiting, float64(c.node.app.Pool().CountTx()))
	gauge(c.peers, float64(c.node.comet.Switch().Peers().Size()))
	if meta := c.node.comet.BlockStore().LoadBlockMeta(c.node.Height()); meta != nil {
		gauge(c.blockTime, float64(meta.Header.Time.UnixMilli())/1e3)
	}
	syncing := 0.0
	if c.node.comet.ConsensusReactor().WaitSync() {
		syncing = 1
	}
	gauge(c.syncing, syncing)
}
