package engine

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
)

// DomainID names a namespace of codes. A deployment without configured domains has one, DefaultDomain, for every Host.
type DomainID uint32

// DefaultDomain is the namespace that answers for every Host.
const DefaultDomain DomainID = 1

// Key names a link from outside: the code within its domain.
type Key struct {
	Domain DomainID
	Code   string
}

// Hash is HashKey of k.
func (k Key) Hash() uint64 { return HashKey(k.Domain, k.Code) }

// HashKey is xxhash64 over the domain (4 bytes, little endian) and the code. It routes to a shard (ShardOf) and finds the
// slot in the shard's table; codes longer than CodeMaxLen hash by their first CodeMaxLen bytes, as they exist nowhere.
// 0 allocs: TestHashKeyAllocs.
func HashKey[T string | []byte](domain DomainID, code T) uint64 {
	var buf [4 + CodeMaxLen]byte
	binary.LittleEndian.PutUint32(buf[:], uint32(domain))
	n := copy(buf[4:], code)
	return xxhash.Sum64(buf[:4+n])
}

// ShardOf picks one of shards (a power of two) by the hash's top bits; the tables use the low ones, so that the two choices
// are independent.
func ShardOf(hash uint64, shards int) int {
	return int(hash>>32) & (shards - 1)
}
