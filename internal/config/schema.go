package config

// The file as written: strings and numbers, so that every value keeps its place in
// the file until it is checked. Optional ones are pointers.
type file struct {
	DataDir   string         `hcl:"data_dir"`
	Region    string         `hcl:"region"`
	Mlock     *string        `hcl:"mlock"`
	HSM       fileHSM        `hcl:"hsm,block"`
	Listen    fileAddresses  `hcl:"listen,block"`
	Advertise *fileAdvertise `hcl:"advertise,block"`
	Raft      *fileRaft      `hcl:"raft,block"`
	Limits    *fileLimits    `hcl:"limits,block"`
	Shares    *fileShares    `hcl:"shares,block"`
	Log       *fileLog       `hcl:"log,block"`
	Telemetry *fileTelemetry `hcl:"telemetry,block"`
}

type fileHSM struct {
	Module        string  `hcl:"module"`
	InitArgs      *string `hcl:"init_args"`
	TokenLabel    string  `hcl:"token_label"`
	PINFile       *string `hcl:"pin_file"`
	PINCredential *string `hcl:"pin_credential"`
	Workers       *int    `hcl:"workers"`
	Timeout       *string `hcl:"timeout"`
}

type fileAddresses struct {
	Raft   string `hcl:"raft"`
	API    string `hcl:"api"`
	Gossip string `hcl:"gossip"`
}

type fileAdvertise struct {
	Raft   *string `hcl:"raft"`
	API    *string `hcl:"api"`
	Gossip *string `hcl:"gossip"`
}

type fileRaft struct {
	Profile           *string `hcl:"profile"`
	HeartbeatTimeout  *string `hcl:"heartbeat_timeout"`
	ElectionTimeout   *string `hcl:"election_timeout"`
	LeaseTimeout      *string `hcl:"lease_timeout"`
	CommitTimeout     *string `hcl:"commit_timeout"`
	OneWayDelay       *string `hcl:"one_way_delay"`
	SnapshotInterval  *string `hcl:"snapshot_interval"`
	SnapshotThreshold *int    `hcl:"snapshot_threshold"`
	TrailingLogs      *int    `hcl:"trailing_logs"`
}

type fileLimits struct {
	MaxConnections           *int     `hcl:"max_connections"`
	MaxConnectionsPerAddress *int     `hcl:"max_connections_per_address"`
	MaxStreams               *int     `hcl:"max_streams"`
	RequestRate              *float64 `hcl:"request_rate"`
	RequestBurst             *int     `hcl:"request_burst"`
	MinFreeDisk              *string  `hcl:"min_free_disk"`
}

type fileShares struct {
	Keep *string `hcl:"keep"`
	Most *int    `hcl:"most"`
}

type fileLog struct {
	Level  *string `hcl:"level"`
	Format *string `hcl:"format"`
}

type fileTelemetry struct {
	Listen string `hcl:"listen"`
	Pprof  *bool  `hcl:"pprof"`
}
