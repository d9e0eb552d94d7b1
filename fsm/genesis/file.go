package genesis

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"time"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// file is genesis.json. Canonical alone counts; the rest says the same for people and
// is refused when it does not.
type file struct {
	Hash       string          `json:"hash"`
	Document   json.RawMessage `json:"document"`
	Signatures []fileSignature `json:"signatures"`
	Canonical  string          `json:"canonical"`
}

type fileSignature struct {
	By        string `json:"by"`
	Principal string `json:"principal"`
	Signature string `json:"signature"`
}

type fileDocument struct {
	Cluster        string       `json:"cluster"`
	Name           string       `json:"name"`
	Created        string       `json:"created"`
	Regions        []fileRegion `json:"regions"`
	Administrators []fileAdmin  `json:"administrators"`
	Officers       fileOfficers `json:"officers"`
	Settings       fileSettings `json:"settings"`
	Beacon         fileBeacon   `json:"beacon"`
	RootCheck      string       `json:"root_check"`
	Contributions  []string     `json:"contributions"`
}

type fileRegion struct {
	ID         uint8    `json:"id"`
	Name       string   `json:"name"`
	ServerID   string   `json:"server_id"`
	Identity   fileKey  `json:"identity"`
	Wrapping   string   `json:"wrapping"`
	OAEPHash   uint8    `json:"oaep_hash"`
	RaftAddr   string   `json:"raft_addr"`
	APIAddr    string   `json:"api_addr"`
	GossipAddr string   `json:"gossip_addr"`
	Curves     []string `json:"curves"`
	HSM        string   `json:"hsm"`
	Attributes string   `json:"attributes"`
}

type fileKey struct {
	Alg         string `json:"alg"`
	Key         string `json:"key"`
	Fingerprint string `json:"fingerprint"`
}

type fileAdmin struct {
	Name  string  `json:"name"`
	Key   fileKey `json:"key"`
	Roles string  `json:"roles"`
}

type fileOfficers struct {
	Threshold  uint8    `json:"threshold"`
	Recipients []string `json:"recipients"`
}

type fileSettings struct {
	MaxSkew       string `json:"max_skew"`
	RequestMaxAge string `json:"request_max_age"`
	MaxOpen       uint32 `json:"max_open"`
}

type fileBeacon struct {
	Threshold uint8    `json:"threshold"`
	Public    string   `json:"public"`
	Shares    []string `json:"shares"`
}

// MarshalFile returns genesis.json.
func (g *Genesis) MarshalFile() ([]byte, error) {
	f, err := g.file()
	if err != nil {
		return nil, err
	}
	b, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return nil, errs.Wrap(errs.Internal, err, "writing genesis.json")
	}
	return append(b, '\n'), nil
}

func (g *Genesis) file() (*file, error) {
	doc, err := json.Marshal(g.Document.readable())
	if err != nil {
		return nil, errs.Wrap(errs.Internal, err, "writing genesis.json")
	}
	h := g.Document.Hash()
	f := &file{Hash: hex.EncodeToString(h[:]), Document: doc, Signatures: []fileSignature{},
		Canonical: base64.StdEncoding.EncodeToString(g.Encode())}
	names := g.names()
	for _, s := range g.Signatures {
		fp := s.Principal.String()
		f.Signatures = append(f.Signatures, fileSignature{names[fp], fp, hex.EncodeToString(s.Sig)})
	}
	return f, nil
}

func (g *Genesis) names() map[string]string {
	n := map[string]string{}
	for i := range g.Document.Regions {
		r := &g.Document.Regions[i]
		n[r.Identity.Fingerprint().String()] = "region " + r.Name
	}
	for i := range g.Document.Administrators {
		a := &g.Document.Administrators[i]
		n[a.Key.Fingerprint().String()] = "administrator " + a.Name
	}
	return n
}

func (d *Document) readable() *fileDocument {
	f := &fileDocument{
		Cluster: hex.EncodeToString(d.Cluster[:]), Name: d.Name, Created: d.Created.UTC().Format(time.RFC3339Nano),
		Regions: []fileRegion{}, Administrators: []fileAdmin{},
		Officers:  fileOfficers{d.Officers.Threshold, append([]string{}, d.Officers.Recipients...)},
		Settings:  fileSettings{d.Settings.MaxSkew.String(), d.Settings.RequestMaxAge.String(), d.Settings.MaxOpen},
		Beacon:    fileBeacon{d.Beacon.Threshold, hex.EncodeToString(d.Beacon.Public[:]), []string{}},
		RootCheck: hex.EncodeToString(d.RootCheck[:]), Contributions: []string{},
	}
	for i := range d.Regions {
		f.Regions = append(f.Regions, d.Regions[i].readable())
	}
	for _, a := range d.Administrators {
		f.Administrators = append(f.Administrators, fileAdmin{a.Name, fileKey{a.Key.Alg.String(),
			hex.EncodeToString(a.Key.Key), a.Key.Fingerprint().String()}, a.Roles.String()})
	}
	for _, s := range d.Beacon.Shares {
		f.Beacon.Shares = append(f.Beacon.Shares, hex.EncodeToString(s))
	}
	for i := range d.Contributions {
		f.Contributions = append(f.Contributions, hex.EncodeToString(d.Contributions[i][:]))
	}
	return f
}

func (g *Region) readable() fileRegion {
	f := fileRegion{ID: uint8(g.ID), Name: g.Name, ServerID: g.ServerID,
		Identity: fileKey{g.Identity.Alg.String(), hex.EncodeToString(g.Identity.Key), g.Identity.Fingerprint().String()},
		Wrapping: hex.EncodeToString(g.Wrapping), OAEPHash: g.OAEPHash, RaftAddr: g.RaftAddr, APIAddr: g.APIAddr,
		GossipAddr: g.GossipAddr, Curves: []string{}, HSM: g.HSM, Attributes: hex.EncodeToString(g.Attributes)}
	for _, c := range g.Curves {
		f.Curves = append(f.Curves, c.String())
	}
	return f
}

// ParseFile reads genesis.json: the canonical bytes, after what stands beside them for
// people has been regenerated and compared, so that what was reviewed is what runs.
func ParseFile(b []byte) (*Genesis, error) {
	if len(b) > 4*MaxGenesis {
		return nil, errs.New(errs.TooLarge, "genesis.json of %d bytes, limit %d", len(b), 4*MaxGenesis)
	}
	var f file
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&f); err != nil {
		return nil, errs.Wrap(errs.Malformed, err, "genesis.json")
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errs.New(errs.Malformed, "genesis.json has text after its object")
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(f.Canonical)
	if err != nil {
		return nil, errs.Wrap(errs.Malformed, err, "genesis.json: canonical")
	}
	g, err := Decode(raw)
	if err != nil {
		return nil, err
	}
	want, err := g.file()
	if err != nil {
		return nil, err
	}
	if !sameJSON(&f, want) {
		return nil, errs.New(errs.Invalid, "genesis.json: the readable part does not say what the canonical bytes say").
			WithHint("do not edit genesis.json; make it again from the ceremony's files")
	}
	return g, nil
}

func sameJSON(a, b *file) bool {
	x, err1 := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err1 == nil && err2 == nil && bytes.Equal(x, y)
}
