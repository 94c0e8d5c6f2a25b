package bulk

import (
	"encoding/csv"
	"io"
	"strconv"
)

// Report takes down the problems of an import: all of them in a file, as CSV with the columns line, field, problem; the first
// few to a person. Not safe for concurrent use.
type Report struct {
	file  *csv.Writer // nil: no file
	say   func(line string)
	shown int
	count int
}

// reportShown is how many problems a person is shown.
const reportShown = 20

// NewReport makes a report; file may be nil, say gets lines without their end.
func NewReport(file io.Writer, say func(line string)) *Report {
	r := &Report{say: say}
	if file != nil {
		r.file = csv.NewWriter(file)
		// An error stays in the writer until Close asks for it.
		_ = r.file.Write([]string{"line", "field", "problem"})
	}
	return r
}

// Add notes a problem.
func (r *Report) Add(p Problem) {
	r.count++
	if r.file != nil {
		_ = r.file.Write([]string{strconv.Itoa(p.Line), p.Field, p.Detail})
		return
	}
	if r.shown < reportShown {
		r.shown++
		r.say(p.String())
	}
}

// Close completes the report.
func (r *Report) Close() error {
	if r.file != nil {
		r.file.Flush()
		return r.file.Error()
	}
	if more := r.count - r.shown; more > 0 {
		r.say("and " + strconv.Itoa(more) + " more; --report FILE takes them all")
	}
	return nil
}
