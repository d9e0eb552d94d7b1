package rpc

import (
	"bytes"
	"context"

	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"
	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// read returns state that holds everything acknowledged before the call, and who reads.
func (v *vaultService) read(ctx context.Context) (View, *fsm.Principal, error) {
	rooms, err := v.server.attached()
	if err != nil {
		return nil, nil, err
	}
	if err := rooms.Reader.Barrier(ctx); err != nil {
		return nil, nil, err
	}
	view := rooms.Reader.Local()
	p, err := principal(view, callerOf(ctx).principal) // again: it may be gone since the guard
	return view, p, err
}

// scope is the tenant a list is about: the caller's own when it names none, and every
// tenant ("") for those who may read the vault.
func scope(v View, p *fsm.Principal, tenant string) (string, error) {
	if tenant == "" {
		tenant = p.Tenant
	}
	if len(tenant) > command.MaxName || !v.MayRead(p.ID, tenant) {
		return "", errs.New(errs.Denied, "principal %s may not read this tenant", p.ID.Short())
	}
	return tenant, nil
}

func pageSize(n uint32) int {
	if n == 0 {
		return pageDefault
	}
	return int(min(n, pageMax))
}

// id reads an id of fixed size; empty is allowed where the zero id means "from the start".
func id(dst, b []byte, what string, empty bool) error {
	if len(b) == 0 && empty {
		return nil
	}
	if len(b) != len(dst) {
		return errs.New(errs.Invalid, "%s has %d bytes, want %d", what, len(b), len(dst))
	}
	copy(dst, b)
	return nil
}

// request returns a request the caller may read; one of another tenant is not found.
func (v *vaultService) request(ctx context.Context, b []byte) (*fsm.Request, error) {
	var rid command.RequestID
	if err := id(rid[:], b, "request_id", false); err != nil {
		return nil, err
	}
	view, p, err := v.read(ctx)
	if err != nil {
		return nil, err
	}
	r, ok := view.Request(rid)
	if !ok || !view.MayRead(p.ID, r.Tenant) && r.Author != p.ID {
		return nil, errs.New(errs.NotFound, "request %s does not exist or is no longer remembered", rid)
	}
	return r, nil
}

// GetRequest shows one request, with its payload.
func (v *vaultService) GetRequest(ctx context.Context, req *tetradv1.GetRequestRequest) (*tetradv1.GetRequestResponse, error) {
	r, err := v.request(ctx, req.RequestId)
	if err != nil {
		return nil, err
	}
	return &tetradv1.GetRequestResponse{Request: v.show(r, true)}, nil
}

// ListRequests shows a page of requests.
func (v *vaultService) ListRequests(ctx context.Context, req *tetradv1.ListRequestsRequest) (*tetradv1.ListRequestsResponse, error) {
	var after command.RequestID
	if err := id(after[:], req.PageToken, "page_token", true); err != nil {
		return nil, err
	}
	view, p, err := v.read(ctx)
	if err != nil {
		return nil, err
	}
	tenant, err := scope(view, p, req.Tenant)
	if err != nil {
		return nil, err
	}
	n := pageSize(req.PageSize)
	rows := view.Requests(tenant, after, n)
	out := &tetradv1.ListRequestsResponse{}
	for _, r := range rows {
		out.Requests = append(out.Requests, v.show(r, false))
	}
	if len(rows) == n {
		out.NextPageToken = rows[n-1].ID[:]
	}
	return out, nil
}

// GetKey shows one key, by id or name.
func (v *vaultService) GetKey(ctx context.Context, req *tetradv1.GetKeyRequest) (*tetradv1.GetKeyResponse, error) {
	var kid command.KeyID
	if err := id(kid[:], req.KeyId, "key_id", req.Name != ""); err != nil {
		return nil, err
	}
	view, p, err := v.read(ctx)
	if err != nil {
		return nil, err
	}
	k, ok := view.Key(kid)
	if len(req.KeyId) == 0 {
		tenant := req.Tenant
		if tenant == "" {
			tenant = p.Tenant
		}
		k, ok = view.KeyByName(tenant, req.Name)
	}
	if !ok || !view.MayRead(p.ID, k.Tenant) {
		return nil, errs.New(errs.NotFound, "this key does not exist")
	}
	return &tetradv1.GetKeyResponse{Key: showKey(view, k)}, nil
}

// page cuts the rows after token, in the order they come. Rows whose token was removed
// meanwhile end the listing; nothing the API lists is ever removed.
func page[R any](rows []R, token []byte, n int, key func(R) []byte) (out []R, next []byte) {
	if len(token) > 0 {
		i := 0
		for i < len(rows) && !bytes.Equal(key(rows[i]), token) {
			i++
		}
		rows = rows[min(i+1, len(rows)):]
	}
	if len(rows) <= n {
		return rows, nil
	}
	return rows[:n], key(rows[n-1])
}

// ListKeys shows a page of keys.
func (v *vaultService) ListKeys(ctx context.Context, req *tetradv1.ListKeysRequest) (*tetradv1.ListKeysResponse, error) {
	view, p, err := v.read(ctx)
	if err != nil {
		return nil, err
	}
	tenant, err := scope(view, p, req.Tenant)
	if err != nil {
		return nil, err
	}
	rows, next := page(view.Keys(tenant), req.PageToken, pageSize(req.PageSize), func(k *fsm.Key) []byte { return k.ID[:] })
	out := &tetradv1.ListKeysResponse{NextPageToken: next}
	for _, k := range rows {
		out.Keys = append(out.Keys, showKey(view, k))
	}
	return out, nil
}

// ListPrincipals shows a page of principals.
func (v *vaultService) ListPrincipals(ctx context.Context, req *tetradv1.ListPrincipalsRequest) (*tetradv1.ListPrincipalsResponse, error) {
	view, p, err := v.read(ctx)
	if err != nil {
		return nil, err
	}
	tenant, err := scope(view, p, req.Tenant)
	if err != nil {
		return nil, err
	}
	var in []*fsm.Principal
	for _, row := range view.Principals() {
		if tenant == "" || row.Tenant == tenant {
			in = append(in, row)
		}
	}
	rows, next := page(in, req.PageToken, pageSize(req.PageSize), func(p *fsm.Principal) []byte { return p.ID[:] })
	out := &tetradv1.ListPrincipalsResponse{NextPageToken: next}
	for _, row := range rows {
		out.Principals = append(out.Principals, showPrincipal(row))
	}
	return out, nil
}

// ListTenants shows what tenants the caller may read.
func (v *vaultService) ListTenants(ctx context.Context, _ *tetradv1.ListTenantsRequest) (*tetradv1.ListTenantsResponse, error) {
	view, p, err := v.read(ctx)
	if err != nil {
		return nil, err
	}
	out := &tetradv1.ListTenantsResponse{}
	for _, t := range view.Tenants() {
		if view.MayRead(p.ID, t) {
			out.Tenants = append(out.Tenants, t)
		}
	}
	return out, nil
}

// Genesis shows the founding document to any principal: it is what they trust.
func (v *vaultService) Genesis(context.Context, *tetradv1.GenesisRequest) (*tetradv1.GenesisResponse, error) {
	rooms, err := v.server.attached()
	if err != nil {
		return nil, err
	}
	return &tetradv1.GenesisResponse{Genesis: rooms.Genesis}, nil
}

// Status shows this node. It is never forwarded and never waits; a caller that is no
// principal sees only whether the node is ready.
func (v *vaultService) Status(ctx context.Context, req *tetradv1.StatusRequest) (*tetradv1.StatusResponse, error) {
	s := v.server
	report, out := s.cfg.Node.Report(), s.bareStatus()
	if report.Sealed {
		out.State = tetradv1.NodeState_NODE_STATE_SEALED
	}
	rooms := s.rooms.Load()
	if rooms == nil {
		return out, nil
	}
	view, c := rooms.Reader.Local(), callerOf(ctx)
	who := identity.Fingerprint{}
	if c.region == 0 {
		p, err := principal(view, c.principal)
		if err != nil {
			return out, nil
		}
		who = p.ID
	}
	s.fillNode(out, report)
	s.fillState(out, rooms, view, report.Seen)
	if req.Digest && (c.region != 0 || view.MayRead(who, "")) {
		d := view.Digest()
		out.Digest = d[:]
	}
	return out, nil
}
