// Package liar is the seam at which a test build lets one region lie and switches single
// defences off. In an ordinary build nothing of it is left: Defends is constant, and no
// lie is compiled. See docs/design/liar.md.
package liar

// Defence names one rule by which a region does not believe another. Each is asked for at
// the one place where its rule is applied.
type Defence uint8

// The defences.
const (
	Signatures    Defence = iota // a signature of another region is verified
	Quorums                      // three different regions, not one three times
	Opening                      // an entry opens and decodes before it is stored
	Stamps                       // of entries, by the own clock
	Membership                   // only what the state approved
	Truncation                   // nothing of the term's own leader is replaced
	CommitCap                    // raft commits no more than is certified
	Applying                     // nothing is applied that is not certified
	LeaderProofs                 // nothing of a term is believed without one
	Terms                        // a term is believed with a justification
	Transfers                    // only the leader's signed word begins an election
	Rivals                       // conflicting reports are cut to one branch
	Acks                         // an ack is its sender's own, of this lineage
	AckBoots                     // and of its present boot
	SnapshotProof                // three regions vouch for a snapshot
	SnapshotState                // its bytes are the state they vouched for
	Attesting                    // a region vouches for its own state only
	Accusations                  // evidence convicts by the accused's signatures
	Leases                       // nothing leaves without one
	Permits                      // a request is judged again before anything leaves
	Draws                        // a co-signer computes the value itself
	Drawn                        // and signs only if it is drawn
	Partials                     // a partial is given only for what is in the own log
	PartialProofs                // a partial proves itself
	Answers                      // a co-signer's signature verifies under its attested key
	Commands                     // a command is signed by who may give it
	DualControl                  // two administrators
	Reasons                      // a further attempt needs another region's word
	Health                       // nobody is called ill by one region
	Attestations                 // every region verifies every key
	Sessions                     // a session key is one region's, once
	Statements                   // who released a signature files it
	Covers                       // a client wants what it is told certified
	Possession                   // a session key signs its own certificate
	Words                        // a client wants two regions to say what it is told
	Willing                      // a leader that decides nothing is left
	Complaints                   // but by the own replica and three regions' complaints
	Refunds                      // a charge goes back on the words of enough regions
	Serials                      // no nonce is offered twice
	Agreement                    // all holders say the same of a new sharing
	Accusers                     // two regions end a try at a key, not one
	Wrapping                     // nothing is sealed to a key that can leave its HSM
	Fetch                        // who is kept from the log fetches it elsewhere
	Filed                        // who files a completion signed well itself
	Once                         // a command is carried out once
	SameKey                      // a new sharing is of the key there is, or was brought in
	defences
)
