package wire

import "testing"

func TestTraceID(t *testing.T) {
	const id, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	for _, tt := range []struct{ header, want string }{
		{"00-" + id + "-" + parent + "-01", id},
		{"00-" + id + "-" + parent + "-00", id},
		{"01-" + id + "-" + parent + "-01", id},
		{"01-" + id + "-" + parent + "-01-what-comes-later", id},
		{"", ""},
		{"00-" + id + "-" + parent, ""},
		{"00-" + id + "-" + parent + "-01-more", ""},
		{"01-" + id + "-" + parent + "-01more", ""},
		{"ff-" + id + "-" + parent + "-01", ""},
		{"0x-" + id + "-" + parent + "-01", ""},
		{"00-" + id + "-" + parent + "-0g", ""},
		{"00_" + id + "-" + parent + "-01", ""},
		{"00-" + id + "_" + parent + "-01", ""},
		{"00-" + id + "-" + parent + "_01", ""},
		{"00-4BF92F3577B34DA6A3CE929D0E0E4736-" + parent + "-01", ""},
		{"00-00000000000000000000000000000000-" + parent + "-01", ""},
		{"00-" + id + "-0000000000000000-01", ""},
		{"00-" + id + "-00f067aa0ba902\r\n-01", ""},
	} {
		if got, ok := TraceID(tt.header); got != tt.want || ok != (tt.want != "") {
			t.Errorf("TraceID(%q) = %q, %v; want %q", tt.header, got, ok, tt.want)
		}
	}
}
