package cluster

import (
	"time"

	"github.com/tetrad-vault/tetrad/fsm/command"
)

// Limits of the room. Sizes are in bytes.
const (
	maxSealed       = command.MaxEntry + 1024 // a sealed entry: plaintext, header and tag
	maxExtensions   = 16 << 10                // chain hash, signature and leader proof of one entry
	maxConfig       = 16 << 10                // raft's encoded membership
	maxServers      = 16
	maxAppend       = 1 << 20                 // soft bound of the entries in one append: the first always fits
	maxFrame        = maxSealed + 256<<10     // one frame on the wire
	maxReply        = 512 << 10               // one reply
	maxItem         = maxSealed + 64<<10      // one extension item of an envelope: evidence holds an entry
	maxItemEvidence = maxItem                 // evidence that is passed on
	maxItems        = 64                      // extension items in one envelope
	maxAddr         = 256                     // one address
	maxServerID     = 64                      // one raft server id
	maxSnapshot     = 4 << 30                 // one sealed snapshot
	snapshotChunk   = 256 << 10               // plaintext bytes in one sealed chunk
	streamChunk     = 64 << 10                // snapshot bytes in one frame
	maxQueue        = 8 * command.MaxCommands // commands waiting for a proposal
	maxQueueBytes   = 8 * command.MaxEntry
	maxDecoded      = 256     // opened entries kept between admission and Apply
	maxLinks        = 4096    // recent chain hashes kept in memory
	maxCerts        = 1024    // recent certificates kept in memory
	maxChecked      = 4096    // signatures found good that are remembered
	maxSessions     = 64      // session certificates kept of one region
	maxHeard        = 64      // acks kept of one region until what they name is applied
	maxDraws        = 4       // partials computed for one append: older ones are asked for one by one
	maxHandshakes   = 64      // connections that have not said who they are
	maxPerPeer      = 16      // connections of one region
	maxGossip       = 16      // gossip streams others opened
	maxGossipRead   = 1 << 20 // bytes one of them may send: memberlist would take 20 MiB of a stranger
	maxIdle         = 3       // idle connections kept to one peer
	pipelineDepth   = 64      // appends in flight to one peer; 2 can stop replication for ever
	logCacheSize    = 32      // entries raft keeps in memory for replication
	maxBrought      = 2048    // commands brought to the leader here whose decision is awaited
	maxBroughtBytes = 8 << 20
	maxShown        = 4  // of them that others are told of at once, and that one other region may have watched here
	maxTests        = 2  // of them that the leader refused
	maxRipe         = 16 // looked at in one turn
	showBurst       = 16 // commands of one region looked at at once
	showRate        = 4  // and in a second
	graceBurst      = 3  // leaders that were not heard for a while and get some time again
	graceRate       = 1.0 / 60
	busyCommands    = 256 // carried out meanwhile: then a command may have to queue
	longPatience    = 4   // times as long, then

	maxFetch   = 512 << 10 // soft bound of the entries in one answer to a starved region: the first always fits
	maxPiece   = 256 << 10 // of a snapshot in one answer
	fetchBurst = 32        // questions of one starved region answered at once
	fetchRate  = 8         // and in a second
	pieceBurst = 128
	pieceRate  = 64
	fetchQueue = 8 // entries after those that are sent in which their certificate is looked for

	fetchTurn      = 50 * time.Millisecond   // between two looks at what is lacking
	fetchPatience  = 500 * time.Millisecond  // for the leader to bring what is known to be certified
	wordPatience   = 1500 * time.Millisecond // for two other regions to be heard of
	dripPatience   = 4 * time.Second         // until all that is known to be certified has come, or
	dripLeast      = 512                     // entries of it
	fetchSpool     = 30 * time.Second        // for a whole snapshot; doubles each time that is not enough
	fetchSpoolMost = time.Hour
	spoolPatience  = 5 * time.Second        // while the leader sends a snapshot
	fetchAgain     = 150 * time.Millisecond // while it brings nothing
	fetchMemory    = 10 * time.Second       // for which that is remembered
	fetchRest      = 2 * time.Second        // most between two questions that bring nothing

	handshakeTimeout = 10 * time.Second
	completionWait   = 5 * time.Millisecond  // a completion waits this long for other commands to ride with
	gatherFrom       = 8                     // commands of an entry after which the next waits for company,
	gatherMost       = 5 * time.Millisecond  // half of what that one took, and at most so long
	refusalDelay     = 20 * time.Millisecond // a refused sender waits this long instead of raft's back-off
	restLeast        = 15 * time.Second      // between two leaders that are left; doubles
	restMost         = time.Minute
)
