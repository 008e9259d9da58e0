package localnet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// process is a child that is started again when it dies, until its context ends; then
// it is asked to stop, and killed if it does not.
type process struct {
	name string
	argv []string
	env  []string
	out  io.Writer
	log  *slog.Logger
	done chan struct{}
}

const (
	stopGrace  = 10 * time.Second
	backOffMin = 200 * time.Millisecond
	backOffMax = 10 * time.Second
	longRun    = 30 * time.Second // a run that lasted so long resets the back-off
)

func start(ctx context.Context, p process) *process {
	p.done = make(chan struct{})
	go p.supervise(ctx)
	return &p
}

// wait returns when the process has stopped for good.
func (p *process) wait() { <-p.done }

func (p *process) supervise(ctx context.Context) {
	defer close(p.done)
	// A child's parent-death signal is sent when the thread that started it ends, so this
	// goroutine keeps its thread for as long as the child may live.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for wait := backOffMin; ; {
		began := time.Now()
		err := p.run(ctx)
		if ctx.Err() != nil {
			return
		}
		p.log.Warn("a child process ended and is started again", "name", p.name, "err", err, "in", wait)
		if time.Since(began) > longRun {
			wait = backOffMin
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = min(2*wait, backOffMax)
	}
}

func (p *process) run(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, p.argv[0], p.argv[1:]...)
	cmd.Env = append(os.Environ(), p.env...)
	cmd.Stdout, cmd.Stderr = p.out, p.out
	cmd.SysProcAttr = childAttr()
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopGrace
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.argv[0], err)
	}
	err := cmd.Wait()
	if errors.Is(err, exec.ErrWaitDelay) {
		p.log.Warn("a child process did not stop in time and was killed", "name", p.name)
	}
	return err
}
