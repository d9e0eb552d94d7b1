package replication

// Limits of the leaf store.
const (
	segmentLeaves   = 1 << 16   // leaves in one segment file
	pendingMax      = 128 << 10 // bytes of hashes held back from the hash file
	bufferKept      = 1 << 20   // write buffer kept between appends
	holesMax        = 64        // gaps remembered one by one; then neighbours merge
	damagedMax      = 1024      // damaged leaves remembered at once
	recordMax       = 2 << 20   // sealed bytes of one record
	scanChunk       = 1 << 20   // bytes read at once when scanning a segment
	repairChunk     = 256       // leaves asked of a source at once
	LeavesMax       = 1024      // leaves one call of Leaves returns
	leavesBytesMax  = 1 << 20   // and about how many bytes of them
	repairSyncEvery = 1 << 14   // leaves between two syncs while repairing a long gap
)
