package sqlite

import (
	"encoding/binary"
	"hash/crc32"
)

const sumBytes = 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendSum appends the CRC-32C of b from start on (little-endian), so that bytes which the disk has changed are not taken for others.
func appendSum(b []byte, start int) []byte {
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

// cutSum takes the sum of b off, and reports whether it is right.
func cutSum(b []byte) ([]byte, bool) {
	if len(b) < sumBytes {
		return nil, false
	}
	data, sum := b[:len(b)-sumBytes], binary.LittleEndian.Uint32(b[len(b)-sumBytes:])
	return data, sum == crc32.Checksum(data, castagnoli)
}
