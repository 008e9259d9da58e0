package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/cantus-network/cantus/kinds/infer/measured"
)

// serve starts llama.cpp with a model and connects to it.
func serve(ctx context.Context, node, path string, vocab int, args ...string) (*measured.HTTP, func(), error) {
	cmd := exec.CommandContext(ctx, "node", append([]string{filepath.Join(node, "server.mjs"), path}, args...)...)
	cmd.Dir, cmd.Stderr = node, os.Stderr
	in, err := cmd.StdinPipe() // it ends when this is closed
	if err != nil {
		return nil, nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, fmt.Errorf("start node: %w", err)
	}
	stop := func() {
		_ = in.Close()
		_ = cmd.Wait() // it was told to end
	}
	lines := bufio.NewReader(out)
	line, err := lines.ReadString('\n')
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if err != nil || !ok {
		stop()
		return nil, nil, fmt.Errorf("node server.mjs %s: said %q: %w", path, line, err)
	}
	go func() { _, _ = io.Copy(io.Discard, lines) }()
	h, err := measured.Connect(ctx, measured.HTTPOptions{URL: url, Vocab: vocab, Silence: time.Minute})
	if err != nil {
		stop()
		return nil, nil, err
	}
	return h, stop, nil
}
