package journal

import (
	"encoding/binary"
	"sync/atomic"
	"unsafe"
)

// A commit word is 8 bytes, little endian, at the start of a slot. It is stored last and read first, both atomically, so
// that whoever sees it sees the record's plain stores before it.
//
// Why the unsafe code is sound: the memory is at least 8-aligned (a mapping starts on a page, newWords starts as []uint64),
// off is a multiple of slotSize, so the pointer is 8-aligned, which is all sync/atomic asks for; the slice expression keeps the
// access within the memory; and the memory holds no Go pointers. That the memory is still mapped is the segment's
// business: see segment.settle.

// loadWord reads the commit word at off.
func loadWord(mem []byte, off int) uint64 {
	p := (*uint64)(unsafe.Pointer(unsafe.SliceData(mem[off : off+8])))
	return littleEndian(atomic.LoadUint64(p))
}

// storeWord publishes the record at off.
func storeWord(mem []byte, off int, word uint64) {
	p := (*uint64)(unsafe.Pointer(unsafe.SliceData(mem[off : off+8])))
	atomic.StoreUint64(p, littleEndian(word))
}

// newWords makes zeroed memory of n bytes, n a multiple of 8, that is 8-aligned by its type.
func newWords(n int) []byte {
	words := make([]uint64, n/8)
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), n)
}

// littleEndian turns a native word into the order of the file, and back; on nearly every machine that is nothing to do.
func littleEndian(w uint64) uint64 {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], w)
	return binary.NativeEndian.Uint64(b[:])
}
