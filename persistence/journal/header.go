package journal

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
	"time"

	"github.com/carom-dev/carom/engine"
)

const (
	headerMagic   = "CAROMJNL"
	headerVersion = 1
	headerCRC     = slotSize - 4

	sequenceMax = 1<<40 - 1 // a position has 40 bits for it
	nodeBytes   = 16
)

// header is slot 0 of a segment.
type header struct {
	node    [nodeBytes]byte
	lane    uint32
	seq     uint64 // of this segment within its lane, increasing
	prev    uint64 // of the segment before it; 0: it is the lane's first
	nonce   uint64
	slots   uint32 // this one included
	created time.Time
}

// errHeader says that slot 0 is not a header this program can read.
var errHeader = errors.New("segment header is damaged")

// put writes the header and returns its checksum, the seed of the records' ones.
func (h *header) put(b []byte) uint32 {
	clear(b[:slotSize])
	copy(b, headerMagic)
	binary.LittleEndian.PutUint32(b[8:], headerVersion)
	binary.LittleEndian.PutUint32(b[12:], h.lane)
	copy(b[16:32], h.node[:])
	binary.LittleEndian.PutUint64(b[32:], h.seq)
	binary.LittleEndian.PutUint64(b[40:], h.prev)
	binary.LittleEndian.PutUint64(b[48:], h.nonce)
	binary.LittleEndian.PutUint32(b[56:], h.slots)
	binary.LittleEndian.PutUint32(b[60:], slotSize)
	binary.LittleEndian.PutUint64(b[64:], uint64(h.created.UnixMicro()))
	sum := crc32.Checksum(b[:headerCRC], castagnoli)
	binary.LittleEndian.PutUint32(b[headerCRC:], sum)
	return sum
}

// parseHeader reads slot 0, whatever it holds, and returns the seed of the records' checksums too.
func parseHeader(b []byte) (h header, seed uint32, err error) {
	if len(b) < slotSize || string(b[:8]) != headerMagic {
		return h, 0, fmt.Errorf("%w: no magic", errHeader)
	}
	seed = binary.LittleEndian.Uint32(b[headerCRC:])
	if crc32.Checksum(b[:headerCRC], castagnoli) != seed {
		return h, 0, fmt.Errorf("%w: wrong checksum", errHeader)
	}
	if v, size := binary.LittleEndian.Uint32(b[8:]), binary.LittleEndian.Uint32(b[60:]); v != headerVersion || size != slotSize {
		return h, 0, fmt.Errorf("%w: version %d with slots of %d bytes; only version %d with %d is known", errHeader, v, size, headerVersion, slotSize)
	}
	h.lane = binary.LittleEndian.Uint32(b[12:])
	copy(h.node[:], b[16:32])
	h.seq = binary.LittleEndian.Uint64(b[32:])
	h.prev = binary.LittleEndian.Uint64(b[40:])
	h.nonce = binary.LittleEndian.Uint64(b[48:])
	h.slots = binary.LittleEndian.Uint32(b[56:])
	h.created = time.UnixMicro(int64(binary.LittleEndian.Uint64(b[64:]))).UTC()
	if h.lane >= LanesMax || h.seq > sequenceMax || h.slots < 2 || h.slots > SegmentBytesMax/slotSize {
		return h, 0, fmt.Errorf("%w: lane %d, sequence number %d, %d slots", errHeader, h.lane, h.seq, h.slots)
	}
	return h, seed, nil
}

// File names. A lane's segments sort by name.
const (
	segmentSuffix = ".seg"
	freeSuffix    = ".free"    // a recycled segment that waits for its next use
	newSuffix     = ".new"     // a segment under construction
	damagedSuffix = ".damaged" // put aside: its header can't be read, or it belongs to another node
	lockName      = "LOCK"
	nodeName      = "NODE"
)

func segmentName(lane int, seq uint64) string {
	return fmt.Sprintf("%04x-%010x%s", lane, seq, segmentSuffix)
}

// parseSegmentName is the reverse of segmentName.
func parseSegmentName(name string) (lane int, seq uint64, ok bool) {
	base, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok || len(base) != 15 || base[4] != '-' {
		return 0, 0, false
	}
	l, err := strconv.ParseUint(base[:4], 16, 16)
	if err != nil {
		return 0, 0, false
	}
	seq, err = strconv.ParseUint(base[5:], 16, 40)
	if err != nil || l >= LanesMax || segmentName(int(l), seq) != name {
		return 0, 0, false
	}
	return int(l), seq, true
}

// parseNodeID reads the 32 hex digits of a node.
func parseNodeID(s string) (id [nodeBytes]byte, ok bool) {
	b, err := hex.DecodeString(strings.TrimSpace(s))
	if err != nil || len(b) != nodeBytes {
		return id, false
	}
	return [nodeBytes]byte(b), true
}

func nodeID(id [nodeBytes]byte) engine.NodeID { return engine.NodeID(hex.EncodeToString(id[:])) }
