package main

import (
	"context"
	"flag"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/cantus-network/cantus/kinds/all"
	"github.com/cantus-network/cantus/work"
	"github.com/cantus-network/cantus/worker"
)

func main() {
	fs := flag.NewFlagSet("start", flag.ExitOnError)
	gw := fs.String("gateway", "", "")
	home := fs.String("home", "", "")
	fs.Parse(os.Args[2:])
	seed, err := os.ReadFile(filepath.Join(*home, "worker.key"))
	if err != nil {
		panic(err)
	}
	k, err := work.PrivateKeyFromSeed(seed)
	if err != nil {
		panic(err)
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w, err := worker.New(worker.Config{Gateway: *gw, Key: k, Dir: filepath.Join(*home, "state"), Kinds: all.Kinds(), Log: log})
	if err != nil {
		panic(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	log.Info("end", "err", w.Run(ctx))
}
