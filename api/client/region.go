package client

import (
	"context"
	"crypto/sha256"
	"slices"

	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"
	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// What one region does and knows alone.
type (
	LocalStop       = tetradv1.LocalStop
	EvidenceSummary = tetradv1.EvidenceSummary
)

// evidenceBytesMax bounds a file of evidence.
const evidenceBytesMax = 8 << 20

// at asks one region itself, whose node is found by its certificate.
func (c *Client) at(ctx context.Context, region RegionID, method string, req, reply any, changes bool) error {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	c.certain(ctx)
	n, err := c.nodeOf(ctx, region)
	if err != nil {
		return err
	}
	return c.ask(ctx, n, method, req, reply, changes)
}

func (c *Client) nodeOf(ctx context.Context, region RegionID) (*node, error) {
	var last error
	for _, n := range c.nodes {
		if c.regionOf(n) == 0 {
			if err := c.ask(ctx, n, tetradv1.Vault_Status_FullMethodName, &tetradv1.StatusRequest{}, &Status{}, false); err != nil {
				last = err
			}
		}
		if c.regionOf(n) == 0 && c.reconsider(ctx) {
			return c.nodeOf(ctx, region) // no more often than regions have new keys
		}
		if c.regionOf(n) == region {
			return n, nil
		}
	}
	if last == nil {
		last = errs.New(errs.NotFound, "none of the addresses is one of region %d", region)
	}
	return nil, errs.Wrap(errs.CodeOf(last), last, "region %d was not reached", region)
}

func (c *Client) regionOf(n *node) RegionID {
	c.mu.Lock()
	defer c.mu.Unlock()
	return n.region
}

// StopHere stops one region, which obeys without the others. A stop beside an error
// holds, but would not survive the region's process.
func (c *Client) StopHere(ctx context.Context, region RegionID, reason string) (*LocalStop, error) {
	reply := &tetradv1.StopHereResponse{}
	if err := c.at(ctx, region, tetradv1.Vault_StopHere_FullMethodName, &tetradv1.StopHereRequest{Reason: reason}, reply, false); err != nil {
		return nil, err
	}
	return reply.Stop, fault(reply.Fault)
}

// Brake has one region freeze a key, a child of it, or with the zero key the vault, as its
// own command, which comes back.
func (c *Client) Brake(ctx context.Context, region RegionID, key KeyID, reason string, path ...uint32) (*Command, *Outcome, error) {
	req := &tetradv1.BrakeRequest{Reason: reason, Path: path}
	if key != (KeyID{}) {
		req.KeyId = key[:]
	}
	reply := &tetradv1.BrakeResponse{}
	if err := c.at(ctx, region, tetradv1.Vault_Brake_FullMethodName, req, reply, true); err != nil {
		return nil, nil, err
	}
	if code := errs.Code(reply.Outcome.GetCode()); code != errs.OK {
		return nil, reply.Outcome, &errs.Error{Code: code, Msg: reply.Outcome.GetText()}
	}
	cmd, err := command.Decode(reply.Command)
	if err != nil {
		return nil, nil, err
	}
	if body, err := cmd.Body(); err != nil || !froze(body, key, path) {
		return nil, nil, errs.New(errs.Unverified, "region %d froze something else than it was asked to", region)
	}
	return cmd, reply.Outcome, nil
}

// froze reports whether a region's own brake is on what it was asked for.
func froze(body command.Body, key KeyID, path []uint32) bool {
	switch b := body.(type) {
	case *command.RegionFreeze:
		return b.Key == key && len(path) == 0
	case *command.RegionFreezePath:
		return b.Key == key && slices.Equal(b.Path, path)
	}
	return false
}

// ClockWord asks one region for its word that the committed clock is wrong.
func (c *Client) ClockWord(ctx context.Context, region RegionID) ([]byte, error) {
	reply := &tetradv1.ClockWordResponse{}
	err := c.at(ctx, region, tetradv1.Vault_ClockWord_FullMethodName, &tetradv1.ClockWordRequest{}, reply, false)
	return reply.Word, err
}

// RepairHere gives one region a repair-region command of two administrators directly.
func (c *Client) RepairHere(ctx context.Context, region RegionID, cmd *Command) error {
	return c.at(ctx, region, tetradv1.Vault_RepairHere_FullMethodName, &tetradv1.RepairHereRequest{Command: cmd.Encode()}, &tetradv1.RepairHereResponse{}, true)
}

// ListEvidence lists the accusations one region keeps. They are claims: only Evidence's
// bytes can be judged.
func (c *Client) ListEvidence(ctx context.Context, region RegionID) ([]*EvidenceSummary, error) {
	reply := &tetradv1.ListEvidenceResponse{}
	err := c.at(ctx, region, tetradv1.Vault_ListEvidence_FullMethodName, &tetradv1.ListEvidenceRequest{}, reply, false)
	return reply.Evidence, err
}

// Evidence fetches one file of evidence by its hash.
func (c *Client) Evidence(ctx context.Context, region RegionID, hash [32]byte) ([]byte, error) {
	var out []byte
	for {
		reply := &tetradv1.GetEvidenceResponse{}
		req := &tetradv1.GetEvidenceRequest{Hash: hash[:], Offset: uint64(len(out))}
		if err := c.at(ctx, region, tetradv1.Vault_GetEvidence_FullMethodName, req, reply, false); err != nil {
			return nil, err
		}
		out = append(out, reply.Part...)
		switch {
		case reply.Size > evidenceBytesMax || uint64(len(out)) > reply.Size || len(reply.Part) == 0:
			return nil, errs.New(errs.Malformed, "region %d sends evidence of %d bytes in parts that do not fit", region, reply.Size)
		case uint64(len(out)) == reply.Size && sha256.Sum256(out) != hash:
			return nil, errs.New(errs.Unverified, "region %d sent another file than was asked for", region)
		case uint64(len(out)) == reply.Size:
			return out, nil
		}
	}
}

// JudgeEvidence judges a file of evidence without any connection. The last key of a region
// is the one it has now.
func JudgeEvidence(file []byte, cluster ClusterID, lineage [32]byte, regions map[RegionID][]PublicKey) (*chain.Evidence, *chain.Finding, error) {
	e, err := chain.DecodeEvidence(file)
	if err != nil {
		return nil, nil, err
	}
	court := chain.Court{Cluster: cluster, Lineage: lineage, Regions: len(regions),
		Pins:    func(r RegionID) []PublicKey { return regions[r] },
		Present: func(r RegionID) []PublicKey { return regions[r][max(0, len(regions[r])-1):] }}
	f, err := chain.Convict(court, e)
	return e, f, err
}

func fault(f *tetradv1.Fault) error {
	if f == nil {
		return nil
	}
	e := errs.New(errs.Code(f.Code), "%s", f.Text)
	if f.Hint != "" {
		return e.WithHint("%s", f.Hint)
	}
	return e
}
