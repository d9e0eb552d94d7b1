package cluster

// OpenBolt opens raft's stores on bbolt below dir.
func OpenBolt(dir string) (Stores, error) { return Stores{}, errTodo }
