package testservices

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"sync"

	"github.com/Shopify/toxiproxy/v2/stream"
	"github.com/Shopify/toxiproxy/v2/toxics"
)

// Tamper drops a quarter of the messages that a Redis server publishes to its subscribers, sends a quarter twice and a quarter
// behind the next one. All other answers pass. What is drawn by lot is the same for the same seed.
func (p *Proxy) Tamper(seed uint64) error {
	registerTamper()
	return p.set("tamper", tamperKind, "downstream", fmt.Sprintf(`{"seed":%d}`, seed))
}

const tamperKind = "tamper"

var registerTamper = sync.OnceFunc(func() { toxics.Register(tamperKind, new(tamperToxic)) })

// tamperToxic is the fault in the library's terms.
type tamperToxic struct {
	Seed uint64 `json:"seed"`
}

// Pipe passes one connection's answers on until the fault is taken away or the connection ends.
func (t *tamperToxic) Pipe(stub *toxics.ToxicStub) {
	source := stream.NewChanReader(stub.Input)
	source.SetInterrupt(stub.Interrupt)
	in, out := bufio.NewReader(source), stream.NewChanWriter(stub.Output)
	lots := rand.New(rand.NewPCG(t.Seed, 0))
	var frame, held []byte
	for {
		var err error
		if frame, err = appendFrame(frame[:0], in); err != nil {
			// What was read goes on untouched, so that the stream is whole without the fault.
			rest, _ := in.Peek(in.Buffered())
			if whole := append(append(held, frame...), rest...); len(whole) > 0 {
				_, _ = out.Write(whole) // it never fails
			}
			if err != stream.ErrInterrupted { //nolint:errorlint // the library compares, too
				stub.Close()
			}
			return
		}
		if !published(frame) {
			_, _ = out.Write(frame)
			continue
		}
		send := frame
		switch lots.IntN(4) {
		case 0:
			send = nil
		case 1:
			send = append(bytes.Clone(frame), frame...)
		case 2:
			if held == nil {
				held = bytes.Clone(frame)
				continue
			}
		}
		if whole := append(bytes.Clone(send), held...); len(whole) > 0 {
			_, _ = out.Write(whole)
		}
		held = nil
	}
}

// published reports whether a frame is a message of a channel, in either version of the protocol.
func published(frame []byte) bool {
	kind := []byte("3\r\n$7\r\nmessage\r\n")
	return len(frame) > 0 && (frame[0] == '*' || frame[0] == '>') && bytes.HasPrefix(frame[1:], kind)
}

// appendFrame reads one value of the Redis serialization protocol, version 2 or 3, as the bytes that it is. On an error what it
// has read of the value is still appended.
func appendFrame(to []byte, in *bufio.Reader) ([]byte, error) {
	line, err := in.ReadSlice('\n')
	to = append(to, line...)
	if err != nil {
		return to, err
	}
	kind := line[0]
	if !bytes.ContainsRune([]byte("$=!*>~%|"), rune(kind)) {
		return to, nil // a line is all of it
	}
	size, err := strconv.Atoi(string(bytes.TrimSpace(line[1:])))
	if err != nil {
		return to, fmt.Errorf("read size of a value: %w", err)
	}
	switch kind {
	case '$', '=', '!': // a text of that many bytes, and a line's end
		if size < 0 {
			return to, nil // null
		}
		at := len(to)
		to = append(to, make([]byte, size+2)...)
		n, err := io.ReadFull(in, to[at:])
		return to[:at+n], err
	case '%', '|': // that many pairs
		size *= 2
	}
	for ; err == nil && size > 0; size-- {
		to, err = appendFrame(to, in)
	}
	return to, err
}
