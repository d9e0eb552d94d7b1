package cluster

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// pipeline sends appends to one peer over a connection of its own without waiting
// for each reply. Replies come in order. Certificates travel the same way, behind the
// entries they are about.
//
// raft's decoder stops listening after the first reply that is not a success, while
// its sender may wait for room in here: with the first such reply the pipeline
// breaks, which wakes both.
type pipeline struct {
	t        *transport
	c        *conn
	inflight chan *future
	done     chan raft.AppendFuture
	broken   chan struct{}
	news     chan struct{} // something may have to be nudged
	once     sync.Once
	wg       sync.WaitGroup

	mu   sync.Mutex
	sent link // last entry written
}

var _ raft.AppendPipeline = (*pipeline)(nil)

type future struct {
	start time.Time
	req   *raft.AppendEntriesRequest
	resp  *raft.AppendEntriesResponse
	err   error
	ready chan struct{}
}

func (f *future) Error() error                          { <-f.ready; return f.err }
func (f *future) Start() time.Time                      { return f.start }
func (f *future) Request() *raft.AppendEntriesRequest   { return f.req }
func (f *future) Response() *raft.AppendEntriesResponse { return f.resp }

// AppendEntriesPipeline implements raft.Transport.
func (e *endpoint) AppendEntriesPipeline(id raft.ServerID, addr raft.ServerAddress) (raft.AppendPipeline, error) {
	if e.fenced() {
		return nil, errFenced
	}
	c, err := e.dial(e.ctx, id, addr, e.timeout)
	if err != nil {
		return nil, err
	}
	p := &pipeline{t: e.transport, c: c, inflight: make(chan *future, pipelineDepth), done: make(chan raft.AppendFuture, pipelineDepth),
		broken: make(chan struct{}), news: make(chan struct{}, 1)}
	e.mu.Lock()
	e.pipelines[p] = struct{}{}
	e.mu.Unlock()
	p.wg.Go(p.receive)
	p.wg.Go(p.nudge)
	return p, nil
}

func (p *pipeline) breakUp() {
	p.once.Do(func() {
		close(p.broken)
		p.t.d.drop(p.c)
	})
}

// AppendEntries implements raft.AppendPipeline. It waits at most one call's timeout
// for the connection and for room, and not at all once the pipeline is broken.
func (p *pipeline) AppendEntries(a *raft.AppendEntriesRequest, out *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	if p.t.fenced() {
		p.breakUp()
		return nil, errFenced
	}
	if err := p.t.mayLead(a); err != nil {
		return nil, err
	}
	trim(a)
	q := &request{Kind: kindAppend, Header: a.RPCHeader, Append: a}
	b, err := p.t.pack(p.c, q)
	if err != nil {
		return nil, err
	}
	f := &future{start: time.Now(), req: a, resp: out, ready: make(chan struct{})}
	select {
	case <-p.broken:
		return nil, raft.ErrPipelineShutdown
	case p.inflight <- f:
	}
	if err := p.c.send(b, p.t.timeout); err != nil {
		p.breakUp()
		return nil, err
	}
	p.wrote(a)
	return f, nil
}

func (p *pipeline) wrote(a *raft.AppendEntriesRequest) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(a.Entries); n > 0 {
		if l, err := linkOf(a.Entries[n-1]); err == nil {
			p.sent = l
		}
	}
	p.poke()
}

func (p *pipeline) poke() {
	select {
	case p.news <- struct{}{}:
	default:
	}
}

// receive completes the calls in flight, in order.
func (p *pipeline) receive() {
	defer p.breakUp()
	for {
		var f *future
		select {
		case <-p.broken:
			return
		case f = <-p.inflight:
		}
		r, err := receive(p.c, kindAppend, p.t.timeout)
		if err == nil {
			p.t.book.roster.meet(r.Items)
			err = p.t.onReply(p.c.peer, f.req, r)
		}
		if err == nil {
			*f.resp = appendResponse(r)
		}
		f.err = err
		close(f.ready)
		ok := err == nil && f.resp.Success // raft reads the response, not the error
		select {
		case p.done <- f:
		case <-p.broken:
			return
		}
		if !ok {
			return
		}
	}
}

// nudge tells the peer of certificates it was not told of with an append.
func (p *pipeline) nudge() {
	for {
		select {
		case <-p.broken:
			return
		case <-p.news:
		}
		if n := p.due(); n != nil && !p.t.fenced() {
			q := &request{Kind: kindNudge, Header: p.t.header(), Nudge: n}
			b, err := p.t.pack(p.c, q)
			if err != nil || p.c.send(b, p.t.timeout) != nil {
				p.breakUp()
				return
			}
		}
	}
}

// due returns the news of the highest certificate whose entry was sent; dress adds it.
func (p *pipeline) due() *nudge {
	term, leads := p.t.leads()
	p.mu.Lock()
	sent := p.sent.index
	p.mu.Unlock()
	p.c.told.mu.Lock()
	told := p.c.told.certificate
	p.c.told.mu.Unlock()
	if cert := p.t.book.newest(told, sent); leads && cert != nil {
		return &nudge{Term: term, Index: cert.Index}
	}
	return nil
}

// Consumer implements raft.AppendPipeline.
func (p *pipeline) Consumer() <-chan raft.AppendFuture { return p.done }

// Close implements raft.AppendPipeline: it wakes sender and receiver and waits for
// its own goroutines.
func (p *pipeline) Close() error {
	p.breakUp()
	p.wg.Wait()
	p.t.mu.Lock()
	delete(p.t.pipelines, p)
	p.t.mu.Unlock()
	return nil
}

// nudgeAll looks whether any peer has to be told of a commit.
func (t *transport) nudgeAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for p := range t.pipelines {
		p.poke()
	}
}
