package cluster

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"

	"github.com/hashicorp/go-hclog"
)

// raftLogger carries raft's lines into slog, one level down: what raft calls an
// error (a peer that does not answer) is its daily life. Attributes are rendered as
// short text; those that could carry log data are dropped.
type raftLogger struct {
	hclog.Logger // the rest of the interface, silent
	log          *slog.Logger
	args         []any
	sparse       *sparse
}

func newRaftLogger(l *slog.Logger) hclog.Logger {
	return &raftLogger{Logger: hclog.NewNullLogger(), log: l, sparse: newSparse()}
}

func level(l hclog.Level) slog.Level {
	switch l {
	case hclog.Error:
		return slog.LevelWarn
	case hclog.Warn:
		return slog.LevelInfo
	}
	return slog.LevelDebug
}

// Log implements hclog.Logger.
func (r *raftLogger) Log(l hclog.Level, msg string, args ...any) {
	ctx, at := context.Background(), level(l)
	if !r.log.Enabled(ctx, at) {
		return
	}
	var attrs []slog.Attr
	if at > slog.LevelDebug {
		var ok bool
		if attrs, ok = r.sparse.allow(msg); !ok {
			return
		}
	}
	args = append(r.args[:len(r.args):len(r.args)], args...)
	for i := 0; i+1 < len(args); i += 2 {
		key, ok := args[i].(string)
		if _, formatted := args[i+1].(hclog.Format); !ok || formatted {
			continue
		}
		text := fmt.Sprint(args[i+1])
		attrs = append(attrs, slog.String(key, text[:min(len(text), 200)]))
	}
	r.log.LogAttrs(ctx, at, "raft: "+msg, attrs...)
}

func (r *raftLogger) Trace(msg string, args ...any) {}
func (r *raftLogger) Debug(msg string, args ...any) { r.Log(hclog.Debug, msg, args...) }
func (r *raftLogger) Info(msg string, args ...any)  { r.Log(hclog.Info, msg, args...) }
func (r *raftLogger) Warn(msg string, args ...any)  { r.Log(hclog.Warn, msg, args...) }
func (r *raftLogger) Error(msg string, args ...any) { r.Log(hclog.Error, msg, args...) }

func (r *raftLogger) IsDebug() bool { return r.log.Enabled(context.Background(), slog.LevelDebug) }
func (r *raftLogger) IsInfo() bool  { return r.IsDebug() }
func (r *raftLogger) IsWarn() bool  { return true }
func (r *raftLogger) IsError() bool { return true }

func (r *raftLogger) With(args ...any) hclog.Logger {
	return &raftLogger{r.Logger, r.log, append(r.args[:len(r.args):len(r.args)], args...), r.sparse}
}
func (r *raftLogger) Named(string) hclog.Logger      { return r }
func (r *raftLogger) ResetNamed(string) hclog.Logger { return r }

// StandardLogger and StandardWriter are asked for by libraries; raft uses neither.
func (r *raftLogger) StandardLogger(*hclog.StandardLoggerOptions) *log.Logger {
	return log.New(io.Discard, "", 0)
}
func (r *raftLogger) StandardWriter(*hclog.StandardLoggerOptions) io.Writer { return io.Discard }
