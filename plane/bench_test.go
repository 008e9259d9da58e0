package plane_test

import (
	"context"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cantus-network/cantus/plane"
	"github.com/cantus-network/cantus/work"
)

// BenchmarkIdleConnections reports what one idle worker costs the server, without what the
// client's end takes: the clients are bare sockets that logged in and subscribed.
func BenchmarkIdleConnections(b *testing.B) {
	const conns = 500
	var perConn float64
	for b.Loop() {
		w := start(b, func(c *plane.Config) { c.Metrics = nil })
		before := heap()
		buf := make([]byte, 4096)
		for range conns {
			key := newKey(b)
			w.enrol(key.Public())
			conn, nonce := w.bare(b)
			subject := "cantus.1." + key.Public().String()
			_, err := conn.Write([]byte(w.login(key, nonce) + "SUB " + subject + ".nudge 1\r\nSUB " + subject + ".in.x.* 2\r\nPING\r\n"))
			for pongs := 0; pongs < 2 && err == nil; {
				var n int
				n, err = conn.Read(buf)
				pongs += strings.Count(string(buf[:n]), "PONG")
			}
			if err != nil {
				b.Fatal(err)
			}
		}
		perConn = (heap() - before) / conns
		w.Close()
	}
	b.ReportMetric(perConn/1024, "KiB/worker")
	b.ReportMetric(0, "ns/op")
}

func heap() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapInuse + m.StackInuse)
}

// BenchmarkLease is the rate of requests with several workers asking side by side.
func BenchmarkLease(b *testing.B) {
	for _, workers := range []int{1, 16} {
		b.Run(map[int]string{1: "workers=1", 16: "workers=16"}[workers], func(b *testing.B) {
			w := start(b, func(c *plane.Config) { c.Limits = plane.Limits{Rate: 1e9, Burst: 1e9} })
			clients := make([]*plane.Client, workers)
			for i := range clients {
				key := newKey(b)
				w.enrol(key.Public())
				clients[i] = w.dial(b, key)
			}
			body := plane.LeaseReply{Bundles: []plane.Bundle{{Job: 1, Kind: "test/1", Deadline: 1, Tasks: make([]plane.Lease, 50)}}}
			for i := range body.Bundles[0].Tasks {
				body.Bundles[0].Tasks[i] = plane.Lease{Seq: uint64(i + 1), Attempt: 1, Body: make([]byte, 100)}
			}
			w.handler.onLease(func(context.Context, work.PublicKey, plane.LeaseRequest) (plane.LeaseReply, error) {
				return body, nil
			})
			var next atomic.Int64
			b.SetParallelism((workers + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0))
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				c := clients[int(next.Add(1))%workers]
				for pb.Next() {
					if _, err := c.Lease(b.Context(), lease); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
			b.ReportMetric(50*float64(b.N)/b.Elapsed().Seconds(), "tasks/s")
		})
	}
}
