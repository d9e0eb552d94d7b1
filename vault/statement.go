package vault

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/liar"
)

// statements are the answers this region released whose completion it has not seen. A
// leader that keeps signatures to itself cannot hide them: after a while the co-signer
// files its own statement, and the audit log shows that something was released.
type statements struct {
	cfg    *Config
	author *author

	mu      sync.Mutex
	pending map[command.RequestID]*released
}

// released is one answer that left, with the partials it rested on.
type released struct {
	at       time.Time
	answer   *command.Answer
	partials [][]byte
	cover    []byte // of the answer's entry: the log may be compacted when this is filed
}

// add remembers an answer by the requests it released signatures for. What answers can
// hold bounds it.
func (s *statements) add(a *command.Answer, partials [][]byte) {
	r := &released{time.Now(), a, partials, s.author.coverNow(a.Index)}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range a.Items {
		id := a.Items[i].Request
		if a.Items[i].Code == errs.OK && s.pending[id] == nil && len(s.pending) < maxAnswers {
			s.pending[id] = r
		}
	}
}

// completed drops what is in the log. Where another pair completed a request, what this
// region released for an earlier attempt may not be: then it is still filed.
func (s *statements) completed(view fsm.View, ids []command.RequestID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		if _, ours := s.pending[id]; !ours {
			continue
		}
		if row, ok := view.Request(id); !ok || s.shown(row) {
			delete(s.pending, id)
		}
	}
}

// shown reports whether a completed request shows what this region released for it.
func (s *statements) shown(row *fsm.Request) bool {
	return slices.ContainsFunc(row.Results, func(r fsm.SignatureSet) bool { return r.Region == s.cfg.Region })
}

// file files every statement that waited long enough. Each is filed once.
func (s *statements) file(ctx context.Context) {
	for _, r := range s.due() {
		if !liar.Defends(liar.Statements) {
			continue
		}
		c := &command.Complete{Index: r.answer.Index, Partials: r.partials, Answers: [][]byte{r.answer.Encode()}, Cover: r.cover}
		out, err := s.author.complete(ctx, c)
		if err == nil {
			err = out.Err()
		}
		if err != nil {
			s.cfg.Logger.Warn("own statement not filed", slog.Uint64("index", r.answer.Index), slog.Any("error", err))
			continue
		}
		s.forget(r)
		s.cfg.Logger.Warn("signatures left without a completion: own statement filed", slog.Uint64("index", r.answer.Index))
	}
}

func (s *statements) due() (out []*released) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.pending {
		if time.Since(r.at) > s.cfg.Timing.Statement && !slices.Contains(out, r) && len(out) < maxStatements {
			out = append(out, r)
		}
	}
	return out
}

func (s *statements) forget(r *released) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, p := range s.pending {
		if p == r {
			delete(s.pending, id)
		}
	}
}
