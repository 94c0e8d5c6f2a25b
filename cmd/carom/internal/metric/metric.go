// Package metric writes figures as Prometheus text.
package metric

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/carom-dev/carom/engine/latency"
)

// Kind is what may be done with a metric's values.
type Kind string

// The kinds: only growing; of now; durations in buckets.
const (
	Counter   Kind = "counter"
	Gauge     Kind = "gauge"
	Histogram Kind = "histogram"
)

// Desc is one metric: what its samples have in common.
type Desc struct {
	Name   string
	Kind   Kind
	Help   string   // one line without backslashes
	Labels []string // each from a small closed set
}

// Writer collects samples as text. The zero value is ready. It belongs to one goroutine.
type Writer struct {
	buf  bytes.Buffer
	desc *Desc
}

// Begin writes the head of a metric; the samples that follow are its own.
func (w *Writer) Begin(d *Desc) {
	w.desc = d
	fmt.Fprintf(&w.buf, "# HELP %s %s\n# TYPE %s %s\n", d.Name, d.Help, d.Name, d.Kind)
}

// Value writes a sample, with a value for each of the metric's labels.
func (w *Writer) Value(value float64, labels ...string) { w.sample("", value, w.desc.Labels, labels) }

// Count is Value for a whole number.
func (w *Writer) Count(n uint64, labels ...string) { w.Value(float64(n), labels...) }

// Flag is Value for what is so (1) or not (0).
func (w *Writer) Flag(is bool, labels ...string) {
	if is {
		w.Value(1, labels...)
		return
	}
	w.Value(0, labels...)
}

// Distribution writes a histogram's samples.
func (w *Writer) Distribution(s latency.Snapshot, labels ...string) {
	names := append(slices.Clone(w.desc.Labels), "le")
	n := uint64(0)
	for i, bound := range latency.Bounds() {
		n += s.Counts[i]
		w.sample("_bucket", float64(n), names, append(slices.Clone(labels), format(bound.Seconds())))
	}
	n = s.Count()
	w.sample("_bucket", float64(n), names, append(slices.Clone(labels), "+Inf"))
	w.sample("_sum", s.Sum.Seconds(), w.desc.Labels, labels)
	w.sample("_count", float64(n), w.desc.Labels, labels)
}

func (w *Writer) sample(suffix string, value float64, names, labels []string) {
	if len(names) != len(labels) {
		panic(fmt.Sprintf("BUG: %s has the labels %v, a sample has %v", w.desc.Name, names, labels))
	}
	w.buf.WriteString(w.desc.Name + suffix)
	for i, name := range names {
		w.buf.WriteByte("{,"[min(i, 1)])
		w.buf.WriteString(name + `="` + escape.Replace(labels[i]) + `"`)
	}
	if len(names) > 0 {
		w.buf.WriteByte('}')
	}
	w.buf.WriteString(" " + format(value) + "\n")
}

// Write adds text that is in the format already, and gives each metric in it that has an empty help one that helpOf makes.
func (w *Writer) Write(text []byte, helpOf func(name string) string) {
	for line := range bytes.Lines(text) {
		if name, ok := strings.CutPrefix(string(line), "# HELP "); ok && strings.Count(name, " ") == 0 {
			name = strings.TrimSpace(name)
			line = []byte("# HELP " + name + " " + helpOf(name) + "\n")
		}
		w.buf.Write(line)
	}
}

// Bytes is what was written.
func (w *Writer) Bytes() []byte { return w.buf.Bytes() }

// format writes whole numbers without an exponent, so that whoever reads the text by eye or by a script is not surprised.
func format(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// escape makes a label's value out of any text. Read-only.
var escape = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
