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
	headerVersion = 2
	headerBytes   = 128
	headerCRC     = headerBytes - 4

	firstSlot = headerBytes / slotSize // of the records
	slotsMax  = 1 << 23                // of a segment

	sequenceMax = 1<<40 - 1 // a position has 40 bits for it
	nodeBytes   = 16
)

// header is the beginning of a segment.
type header struct {
	node    [nodeBytes]byte
	lane    uint32
	seq     uint64 // of this segment within its lane, increasing
	prev    uint64 // of the segment before it; 0: it is the lane's first
	nonce   uint64
	slots   uint32 // its own included
	size    uint32 // bytes of a slot
	created time.Time
}

// errHeader says that the beginning of a file is not a header this program can read.
var errHeader = errors.New("segment header is damaged")

// put writes a header of this version and returns its checksum, the seed of the records' ones.
func (h *header) put(b []byte) uint32 {
	clear(b[:headerBytes])
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

// parseHeader reads the header, whatever it holds, and returns the seed of the records' checksums too.
func parseHeader(b []byte) (h header, seed uint32, err error) {
	if len(b) < headerBytes || string(b[:8]) != headerMagic {
		return h, 0, fmt.Errorf("%w: no magic", errHeader)
	}
	seed = binary.LittleEndian.Uint32(b[headerCRC:])
	if crc32.Checksum(b[:headerCRC], castagnoli) != seed {
		return h, 0, fmt.Errorf("%w: wrong checksum", errHeader)
	}
	version := binary.LittleEndian.Uint32(b[8:])
	h.size = binary.LittleEndian.Uint32(b[60:])
	if (version != headerVersion || h.size != slotSize) && (version != 1 || h.size != slotSizeV1) {
		return h, 0, fmt.Errorf("%w: version %d with slots of %d bytes; versions 1 with %d and %d with %d are known",
			errHeader, version, h.size, slotSizeV1, headerVersion, slotSize)
	}
	h.lane = binary.LittleEndian.Uint32(b[12:])
	copy(h.node[:], b[16:32])
	h.seq = binary.LittleEndian.Uint64(b[32:])
	h.prev = binary.LittleEndian.Uint64(b[40:])
	h.nonce = binary.LittleEndian.Uint64(b[48:])
	h.slots = binary.LittleEndian.Uint32(b[56:])
	h.created = time.UnixMicro(int64(binary.LittleEndian.Uint64(b[64:]))).UTC()
	if h.lane >= LanesMax || h.seq > sequenceMax || h.slots < 2 || h.slots > slotsMax {
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
	endsName      = "ENDS"
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
