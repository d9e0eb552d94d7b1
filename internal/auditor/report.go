package auditor

import (
	"fmt"
	"time"

	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// TrustAnchor is what an auditor brings along; all else is in the export.
type TrustAnchor struct {
	// Genesis is the hash all founders compared out of band.
	Genesis [32]byte
	// Signatures is how many regions must have signed the checkpoint.
	Signatures int
	// Known are checkpoints seen before: each must be a prefix of this history.
	Known []audit.Checkpoint
	// Partial accepts leaves with withheld fields: from the first one on only the
	// tree is verified, not what the commands did.
	Partial bool
}

// Kind names what is wrong.
type Kind string

// The kinds of finding.
const (
	KindGenesis    Kind = "genesis"    // not the trusted beginning
	KindTree       Kind = "tree"       // leaves do not lead to the checkpoint, or to a known one
	KindCheckpoint Kind = "checkpoint" // a signature of the checkpoint is missing or wrong
	KindSequence   Kind = "sequence"   // a leaf is missing, repeated or out of order
	KindFields     Kind = "fields"     // values that are not the ones signed
	KindSignature  Kind = "signature"  // a command without the signatures it needs
	KindOutcome    Kind = "outcome"    // the vault's rules say something else happened
	KindRequest    Kind = "request"    // a draw or signature without an authorised request
	KindDraw       Kind = "draw"       // a beacon proof, value or draw that does not verify
	KindAnswer     Kind = "answer"     // an answer not signed by a session of its region
	KindCertified  Kind = "certified"  // a signature left although its entry is not proven to be certified
	KindReleased   Kind = "released"   // a signature that does not verify under the attested key
	KindKey        Kind = "key"        // an attestation that proves nothing
	KindWithheld   Kind = "withheld"   // fields are missing, so the commands cannot be judged
)

// Finding is one thing that must not be.
type Finding struct {
	Seq  uint64 `json:"seq"` // audit leaf
	Kind Kind   `json:"kind"`
	Text string `json:"text"`
}

// String returns one line.
func (f Finding) String() string { return fmt.Sprintf("leaf %d: %s: %s", f.Seq, f.Kind, f.Text) }

// Enrolled says that a region was enrolled with another HSM.
type Enrolled struct {
	Region   identity.RegionID `json:"region"`
	Seq      uint64            `json:"seq"` // audit leaf
	Index    uint64            `json:"index"`
	Identity string            `json:"identity"` // fingerprint of the new one
}

// Report is what verification found.
type Report struct {
	Cluster  string    `json:"cluster"`
	Name     string    `json:"name"`
	Genesis  string    `json:"genesis"`
	Leaves   uint64    `json:"leaves"`
	Root     string    `json:"root"`
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
	Entries  uint64    `json:"entries"`
	Replayed uint64    `json:"replayed"` // leaves judged command by command
	Withheld uint64    `json:"withheld"` // leaves with withheld fields

	Commands   map[string]uint64 `json:"commands"`           // by type
	Outcomes   map[string]uint64 `json:"outcomes"`           // by code
	Requests   uint64            `json:"requests"`           // opened
	Attempts   uint64            `json:"attempts"`           // draws opened
	Completed  uint64            `json:"completed"`          // requests with all their signatures
	Failed     uint64            `json:"failed"`             //
	Expired    uint64            `json:"expired"`            //
	Open       uint64            `json:"open"`               // at the end of the export
	Released   uint64            `json:"released"`           // signatures, or parts of those of threshold keys, each verified
	Summed     uint64            `json:"summed"`             // signatures of threshold keys, added up and verified
	Draws      uint64            `json:"draws"`              // beacon values verified
	Undrawn    uint64            `json:"undrawn"`            // attempts whose draw nobody proved: what never came to signatures
	Certified  uint64            `json:"certified"`          // entries with released signatures, proven certified
	Beacon     []BeaconSharing   `json:"beacon"`             // sharings of the beacon key, in order; draws were verified under that of their entry
	Enrolled   []Enrolled        `json:"enrolled,omitempty"` // regions that were given another HSM, in order
	Selections []Selection       `json:"selections"`         // per set of eligible regions and k
	SignedBy   []string          `json:"signed_by"`          // regions whose signature on the checkpoint verifies
	Unchecked  uint64            `json:"unchecked"`          // signatures for requests closed too long ago to be remembered

	// Older counts completions and further attempts of before the format had a place for
	// their proofs: entries not certified, and words of which nobody shows that they are
	// about regions drawn. Once a log has such a proof, one without is a finding.
	Older uint64 `json:"older_format"`

	Findings []Finding `json:"findings"`
	More     uint64    `json:"more_findings"` // not listed
}

// Selection is the histogram of draws among one set of eligible regions.
type Selection struct {
	Eligible []identity.RegionID `json:"eligible"`
	Signers  uint8               `json:"signers"`
	Draws    uint64              `json:"draws"`
	Sets     []DrawnSet          `json:"sets"` // every possible set, drawn or not
	ChiSq    float64             `json:"chi_square"`
	Freedom  int                 `json:"degrees_of_freedom"`
	P        float64             `json:"p"` // chance of a histogram at least as uneven, were all sets equally likely
}

// DrawnSet is one set of signers and how often it was drawn.
type DrawnSet struct {
	Regions []identity.RegionID `json:"regions"`
	Count   uint64              `json:"count"`
}

func (r *Report) found(seq uint64, k Kind, format string, args ...any) {
	if len(r.Findings) == findingsMax {
		r.More++
		return
	}
	r.Findings = append(r.Findings, Finding{seq, k, fmt.Sprintf(format, args...)})
}
