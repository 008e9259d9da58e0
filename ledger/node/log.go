package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"cosmossdk.io/log/v2"
)

// sdkLog passes the SDK's and CometBFT's log on to slog. Their information is a
// line or more for every block and every message between peers, so it becomes
// debug; their warnings and errors stay what they are.
type sdkLog struct {
	l *slog.Logger
	// onFailure is told that consensus has ended.
	onFailure func(error)
	// quiet, while true, turns errors into debug lines: before its first block and
	// while it stops, a healthy node logs several about state that is not there yet
	// and listeners that are closed.
	quiet *atomic.Bool
}

// failureMessage is what CometBFT logs when its consensus routine panics. The
// routine then ends and the rest of the node idles on: the log line is the only
// sign of it that a program can see.
const failureMessage = "CONSENSUS FAILURE!!!"

var _ log.Logger = sdkLog{}

func (s sdkLog) Debug(msg string, kv ...any) { s.log(context.Background(), slog.LevelDebug, msg, kv) }
func (s sdkLog) Info(msg string, kv ...any)  { s.log(context.Background(), slog.LevelDebug, msg, kv) }
func (s sdkLog) Warn(msg string, kv ...any)  { s.log(context.Background(), slog.LevelWarn, msg, kv) }
func (s sdkLog) Error(msg string, kv ...any) { s.log(context.Background(), slog.LevelError, msg, kv) }

func (s sdkLog) DebugContext(ctx context.Context, msg string, kv ...any) {
	s.log(ctx, slog.LevelDebug, msg, kv)
}
func (s sdkLog) InfoContext(ctx context.Context, msg string, kv ...any) {
	s.log(ctx, slog.LevelDebug, msg, kv)
}
func (s sdkLog) WarnContext(ctx context.Context, msg string, kv ...any) {
	s.log(ctx, slog.LevelWarn, msg, kv)
}
func (s sdkLog) ErrorContext(ctx context.Context, msg string, kv ...any) {
	s.log(ctx, slog.LevelError, msg, kv)
}

func (s sdkLog) With(kv ...any) log.Logger {
	s.l = s.l.With(plain(kv)...)
	return s
}

func (s sdkLog) Impl() any { return s.l }

func (s sdkLog) log(ctx context.Context, level slog.Level, msg string, kv []any) {
	if level == slog.LevelError {
		if msg == failureMessage {
			s.failure(kv)
		}
		if s.quiet.Load() {
			level = slog.LevelDebug
		}
	}
	if s.l.Enabled(ctx, level) {
		s.l.Log(ctx, level, msg, plain(kv)...)
	}
}

// failure reports the panic that ended consensus.
func (s sdkLog) failure(kv []any) {
	cause := errors.New("the reason is unknown")
	for i := 0; i+1 < len(kv); i += 2 {
		if kv[i] == "err" {
			cause = fmt.Errorf("%v", kv[i+1])
		}
	}
	if !strings.Contains(cause.Error(), upgradeNeeded) {
		s.onFailure(fmt.Errorf("consensus failed: %w", cause))
		return
	}
	// Others may still need this node's votes to get to the height of the upgrade too.
	time.AfterFunc(upgradeLinger, func() {
		s.onFailure(fmt.Errorf("the network changes its rules here and this program does not know the new ones: start the version that does, in the same home (%w)", cause))
	})
}

const (
	// upgradeNeeded begins what the SDK's upgrade module says at the height of an upgrade
	// that the program has no handler for.
	upgradeNeeded = `UPGRADE "`
	upgradeLinger = 5 * time.Second
)

// plain takes the stack traces out of a line's values: the SDK's errors bring them
// along when they are printed in full.
func plain(kv []any) []any {
	out := make([]any, 0, len(kv))
	for i := 0; i < len(kv); i += 2 {
		if i+1 == len(kv) {
			return append(out, kv[i])
		}
		switch v := kv[i+1].(type) {
		case error:
			out = append(out, kv[i], v.Error())
		default:
			if kv[i] != "stack" {
				out = append(out, kv[i], v)
			}
		}
	}
	return out
}
