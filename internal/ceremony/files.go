package ceremony

import (
	"bytes"
	"encoding/pem"
	"os"

	"github.com/tetrad-vault/tetrad/fsm/genesis"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// What crosses between sites is text: PEM blocks, one artefact each, any number in a
// file, so that they survive mail and can be concatenated; and in the end
// genesis.json. PEM headers are not signed and therefore refused.
const (
	blockEnrolment    = "TETRAD ENROLMENT"
	blockContribution = "TETRAD CONTRIBUTION"
	blockApproval     = "TETRAD GENESIS SIGNATURE"
	blockShare        = "TETRAD OFFICER SHARE"
	blockProof        = "TETRAD OFFICER PROOF"
	blockOfficers     = "TETRAD OFFICERS PROVED"
	blockReenrolment  = "TETRAD REENROLMENT"
	blockWelcome      = "TETRAD WELCOME"
)

// Files is what a set of files held, in the order it was read.
type Files struct {
	Enrolments    []*Enrolment
	Contributions []*Contribution
	Approvals     []*Approval
	Shares        []*OfficerShare
	Proofs        []*OfficerProof
	Officers      []*OfficersProved
	Reenrolments  []*Reenrolment
	Welcomes      []*Welcome
	Genesis       []*genesis.Genesis
}

// ReadFiles reads every artefact of the named files.
func ReadFiles(names ...string) (*Files, error) {
	fs := &Files{}
	for _, name := range names {
		b, err := readLimited(name)
		if err != nil {
			return nil, err
		}
		if err := fs.Add(name, b); err != nil {
			return nil, err
		}
	}
	return fs, nil
}

func readLimited(name string) ([]byte, error) {
	st, err := os.Stat(name)
	if err != nil {
		return nil, errs.Wrap(errs.NotFound, err, "file %s", name)
	}
	if st.Size() > maxFile {
		return nil, errs.New(errs.TooLarge, "file %s has %d bytes, limit %d", name, st.Size(), maxFile)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, errs.Wrap(errs.DiskFailed, err, "file %s", name)
	}
	return b, nil
}

// Add reads every artefact of one file's content; name is for messages.
func (fs *Files) Add(name string, b []byte) error {
	if bytes.HasPrefix(bytes.TrimSpace(b), []byte("{")) {
		g, err := genesis.ParseFile(b)
		if err != nil {
			return named(name, err)
		}
		fs.Genesis = append(fs.Genesis, g)
		return nil
	}
	blocks := 0
	for len(bytes.TrimSpace(b)) > 0 {
		block, rest := pem.Decode(b)
		if block == nil {
			return errs.New(errs.Malformed, "file %s: no whole block of the ceremony begins at %.40q", name, bytes.TrimSpace(b)).
				WithHint("the file may be truncated: copy it again from the site that wrote it")
		}
		if !bytes.HasPrefix(bytes.TrimSpace(b), []byte("-----BEGIN")) {
			return errs.New(errs.Malformed, "file %s: text outside of a block", name)
		}
		if blocks++; blocks > maxBlocks || len(b) > maxFile {
			return errs.New(errs.TooLarge, "file %s holds too much", name)
		}
		if err := fs.add(name, block); err != nil {
			return named(name, err)
		}
		b = rest
	}
	if blocks == 0 {
		return errs.New(errs.Malformed, "file %s is empty", name)
	}
	return nil
}

// named puts a file's name before an error and keeps its code and hint.
func named(name string, err error) error {
	return errs.Wrap(errs.CodeOf(err), err, "file %s", name).WithHint("%s", errs.HintOf(err))
}

func (fs *Files) add(name string, block *pem.Block) error {
	if len(block.Headers) > 0 {
		return errs.New(errs.Malformed, "%s: headers are not allowed, nothing signs them", block.Type)
	}
	switch block.Type {
	case blockEnrolment:
		return collect(&fs.Enrolments, name, block.Bytes, decodeEnrolment)
	case blockContribution:
		return collect(&fs.Contributions, name, block.Bytes, decodeContribution)
	case blockApproval:
		return collect(&fs.Approvals, name, block.Bytes, decodeApproval)
	case blockShare:
		return collect(&fs.Shares, name, block.Bytes, decodeOfficerShare)
	case blockProof:
		return collect(&fs.Proofs, name, block.Bytes, decodeOfficerProof)
	case blockOfficers:
		return collect(&fs.Officers, name, block.Bytes, decodeOfficersProved)
	case blockReenrolment:
		return collect(&fs.Reenrolments, name, block.Bytes, decodeReenrolment)
	case blockWelcome:
		return collect(&fs.Welcomes, name, block.Bytes, decodeWelcome)
	}
	return errs.New(errs.Malformed, "a %q block is no part of the ceremony", block.Type)
}

// artefact is anything one site signs for the others.
type artefact interface{ at(file string) }

// origin is the file an artefact was read from, for messages.
type origin struct{ file string }

func (o *origin) at(file string) { o.file = file }

func (o *origin) in() string {
	if o.file == "" {
		return ""
	}
	return " (file " + o.file + ")"
}

func collect[T artefact](to *[]T, name string, b []byte, decode func([]byte) (T, error)) error {
	v, err := decode(b)
	if err != nil {
		return err
	}
	v.at(name)
	*to = append(*to, v)
	return nil
}

func armor(kind string, b []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b})
}

// ReadGenesis reads and verifies genesis.json.
func ReadGenesis(name string) (*genesis.Genesis, error) {
	b, err := readLimited(name)
	if err != nil {
		return nil, err
	}
	g, err := genesis.ParseFile(b)
	if err == nil {
		err = g.Verify()
	}
	if err != nil {
		return nil, named(name, err)
	}
	return g, nil
}
