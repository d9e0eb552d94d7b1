package rpc

import "time"

// Fixed limits of the front door; what an operator may tune stands in Limits.
const (
	messageBytesMax  = 1<<20 + 64<<10 // one message: 1 MiB of content and its framing
	windowBytes      = 2 << 20        // what may be under way unread, on a stream and on a connection; fixed, since measuring it costs a ping a call
	streamWorkers    = 32             // goroutines that keep their stacks from call to call; more calls get their own
	headerBytesMax   = 16 << 10
	regionPlaces     = 32 // connections beyond Limits.Connections that are for regions alone
	strangerRate     = 50 // calls a second from keys no principal is known for, all together
	strangerBurst    = 100
	batchMax         = 256 // commands in one SignBatch
	batchParallel    = 64  // of them in work at once
	pageDefault      = 100 // rows on a page
	pageMax          = 500 // rows on a page, at most
	leavesPageMax    = 512 // leaves in one message
	leavesPageBytes  = 512 << 10
	addressesMax     = 4096 // addresses whose rate is remembered
	followersMax     = 256  // streams that follow, over all callers
	followBuffer     = 1024 // changes a follower may lag behind
	keepaliveTime    = 30 * time.Second
	keepaliveTimeout = 10 * time.Second
	keepaliveMin     = 5 * time.Second // pings more often than this are abuse
	handshakeTimeout = 5 * time.Second
	leavesWait       = 10 * time.Second // for one page of leaves from another region
	ackWait          = 3 * time.Second  // for a replica to decide a command whose outcome is asked for
	evidenceMax      = 256              // files listed
	evidencePart     = 512 << 10
	checkpointWait   = 2 * time.Second // for the other regions' signatures
)

// Limits are what one node grants before it knows who asks. Zero fields take the
// defaults.
type Limits struct {
	Connections           int           // over all addresses
	ConnectionsPerAddress int           // from one address
	ConnectionRate        float64       // new ones a second from one address, after ConnectionsPerAddress at once
	Streams               int           // concurrent calls on one connection
	Rate                  float64       // calls a second from one address
	Burst                 int           // calls at once above the rate
	UnaryTimeout          time.Duration // longest life of a unary call
	StreamLifetime        time.Duration // longest life of a stream
}

func (l Limits) withDefaults() Limits {
	def(&l.Connections, 1024)
	def(&l.ConnectionsPerAddress, 512)
	def(&l.ConnectionRate, 100)
	def(&l.Streams, 1024)
	def(&l.Rate, 20000)
	def(&l.Burst, 20000)
	def(&l.UnaryTimeout, 60*time.Second)
	def(&l.StreamLifetime, 12*time.Hour)
	return l
}

func def[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}
