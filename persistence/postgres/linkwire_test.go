package postgres

import (
	"testing"
	"time"
)

func TestRowsOfAnotherShapeAreRefused(t *testing.T) {
	r := wireRow{values: [][]byte{{0xff, 0xfe}, {0, 0, 0, 7}, nil, nil, []byte("text"), {1}, {0, 0, 0, 0, 0, 0, 0, 1}}}
	if a, b, none, never, text, yes := r.number(2), r.number(4), r.number(8), r.time(), r.text(), r.number(1); a != -2 || b != 7 || none != 0 || !never.IsZero() || text != "text" || yes != 1 {
		t.Errorf("read %d, %d, %d, %v, %q, %d", a, b, none, never, text, yes)
	}
	if at, want := r.time(), time.Date(2000, 1, 1, 0, 0, 0, 1000, time.UTC); !at.Equal(want) || r.broken {
		t.Errorf("time is %v, want %v; broken %v", at, want, r.broken)
	}
	if r.number(8); !r.broken {
		t.Error("a row that has ended is read on")
	}
	for _, size := range []int{1, 2, 4, 8} {
		r := wireRow{values: [][]byte{make([]byte, 3)}}
		if n := r.number(size); n != 0 || !r.broken {
			t.Errorf("3 bytes are the number %d of %d bytes", n, size)
		}
	}
}
