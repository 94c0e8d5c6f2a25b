package redis

import (
	"encoding/binary"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/carom-dev/carom/engine"
)

func TestEncodedMessagesDecodeToThemselves(t *testing.T) {
	t.Parallel()
	messages := append(full("node a", "node b"), engine.BusMessage{Kind: engine.BusHeartbeat})
	for _, m := range messages {
		payload, err := encode(&m)
		if err != nil {
			t.Fatalf("encode(%+v) = %v", m, err)
		}
		if got, err := decode(string(payload)); err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("decode(encode(%+v)) = %+v, %v", m, got, err)
		}
		for n := range payload {
			if got, err := decode(string(payload[:n])); err == nil || !reflect.DeepEqual(got, engine.BusMessage{}) {
				t.Errorf("decode of the first %d of %d bytes = %+v, %v, want an error and nothing", n, len(payload), got, err)
			}
		}
		if _, err := decode(string(payload) + "\x00"); !errors.Is(err, errTrailing) {
			t.Errorf("decode with a byte too much = %v, want %v", err, errTrailing)
		}
	}
}

func TestDamagedPayloadsAreRefused(t *testing.T) {
	t.Parallel()
	const from = "\x01n"
	long := func(n int) string { return string(binary.AppendUvarint(nil, uint64(n))) + strings.Repeat("x", n) }
	change := "\x01\x01\x01\x01c\x01\x01n"
	for name, c := range map[string]struct {
		payload string
		want    error
	}{
		"empty":                         {"", errTruncated},
		"unknown format":                {"\x02\x01" + from + "\x01\x00\x00\x00", errFormat},
		"JSON":                          {`{"kind":1}`, errFormat},
		"kind 0":                        {"\x01\x00" + from + "\x01\x00\x00\x00", errKind},
		"kind of a later version":       {"\x01\x08" + from + "\x01\x00\x00\x00", errKind},
		"BusSubscribed":                 {"\x01\x06" + from + "\x01\x00\x00\x00", errKind},
		"ack to nobody":                 {"\x01\x04" + from + "\x01\x00\x00\x00", errAddressee},
		"name longer than the payload":  {"\x01\x01\x05n", errTruncated},
		"name over the bound":           {"\x01\x01" + long(NameMaxLen+1) + "\x01\x00\x00\x00", errNumber},
		"number of eleven bytes":        {"\x01\x01" + from + strings.Repeat("\xff", 10) + "\x01\x00\x00\x00", errNumber},
		"number over 64 bits":           {"\x01\x01" + from + strings.Repeat("\xff", 9) + "\x02\x00\x00\x00", errNumber},
		"number in a longer form":       {"\x01\x01" + from + "\x81\x00\x00\x00\x00", errNumber},
		"number cut short":              {"\x01\x01" + from + "\x81", errTruncated},
		"more changes than there are":   {"\x01\x02" + from + "\x01\x00\x02" + change + "\x00", errTruncated},
		"more changes than can be":      {"\x01\x02" + from + "\x01\x00\x80\x20", errTruncated},
		"changes over the bound":        {"\x01\x02" + from + "\x01\x00\x81\x20" + strings.Repeat("\x00", 6*4097), errNumber},
		"negative change id":            {"\x01\x02" + from + "\x01\x00\x01" + strings.Repeat("\xff", 9) + "\x01" + change[1:] + "\x00", errNumber},
		"domain over 32 bits":           {"\x01\x02" + from + "\x01\x00\x01\x01\x01\x80\x80\x80\x80\x10\x01c\x01\x01n\x00", errNumber},
		"code over the bound":           {"\x01\x02" + from + "\x01\x00\x01\x01\x01\x01" + long(engine.CodeMaxLen+1) + "\x01\x01n\x00", errNumber},
		"more spends than there are":    {"\x01\x05" + from + "\x01\x00\x00\x05\x01a\x01\x02", errTruncated},
		"trailing bytes":                {"\x01\x01" + from + "\x01\x00\x00\x00\x00", errTrailing},
		"payload over the bound":        {strings.Repeat("\x01", PayloadMax+1), errBound},
		"a message with a hole in it":   {"\x01\x02" + from + "\x01\x00\x01" + strings.Repeat("\x00", 3), errTruncated},
		"a limiter name over the bound": {"\x01\x05" + from + "\x01\x00\x00\x01" + long(NameMaxLen+1) + "\x01\x02", errNumber},
	} {
		if m, err := decode(c.payload); !errors.Is(err, c.want) || !reflect.DeepEqual(m, engine.BusMessage{}) {
			t.Errorf("%s: decode = %+v, %v, want %v", name, m, err, c.want)
		}
	}
}

func TestMessagesOverABoundAreNotEncoded(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", NameMaxLen+1)
	wide := make([]engine.Spend, SpendsMax)
	for i := range wide {
		wide[i].Limiter = long[:40]
	}
	for name, c := range map[string]struct {
		m    engine.BusMessage
		want error
	}{
		"changes":         {engine.BusMessage{Kind: engine.BusChange, Changes: make([]engine.Change, ChangesMax+1)}, errBound},
		"spends":          {engine.BusMessage{Kind: engine.BusSpend, Spends: make([]engine.Spend, SpendsMax+1)}, errBound},
		"bytes":           {engine.BusMessage{Kind: engine.BusSpend, Spends: wide}, errBound},
		"from":            {engine.BusMessage{Kind: engine.BusPoll, From: engine.NodeID(long)}, errBound},
		"to":              {engine.BusMessage{Kind: engine.BusAck, To: engine.NodeID(long)}, errBound},
		"origin":          {engine.BusMessage{Kind: engine.BusChange, Changes: []engine.Change{{Origin: engine.NodeID(long)}}}, errBound},
		"code":            {engine.BusMessage{Kind: engine.BusChange, Changes: []engine.Change{{Key: engine.Key{Code: long}}}}, errBound},
		"limiter":         {engine.BusMessage{Kind: engine.BusSpend, Spends: []engine.Spend{{Limiter: long}}}, errBound},
		"negative link":   {engine.BusMessage{Kind: engine.BusChange, Changes: []engine.Change{{Link: -1}}}, errNumber},
		"ack to nobody":   {engine.BusMessage{Kind: engine.BusAck}, errAddressee},
		"no kind":         {engine.BusMessage{}, errKind},
		"a kind too high": {engine.BusMessage{Kind: 200}, errKind},
	} {
		if _, err := encode(&c.m); !errors.Is(err, c.want) {
			t.Errorf("%s: encode = %v, want %v", name, err, c.want)
		}
	}
}

func BenchmarkCodec(b *testing.B) {
	m := engine.BusMessage{Kind: engine.BusSpend, From: "0123456789abcdef0123456789abcdef", Spends: make([]engine.Spend, 1000)}
	for i := range m.Spends {
		m.Spends[i] = engine.Spend{Limiter: "api", Key: uint64(i) * 0x9e3779b97f4a7c15, Units: 3}
	}
	b.ReportAllocs()
	for b.Loop() {
		payload, err := encode(&m)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := decode(string(payload)); err != nil {
			b.Fatal(err)
		}
	}
}
