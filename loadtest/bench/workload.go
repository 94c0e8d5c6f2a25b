package main

import "net/http"

// workload is what visitors ask for.
type workload struct {
	codes []string // in this order, again and again
	once  bool     // each of codes is asked for once, and then the load is over
	fresh bool     // codes that nobody has ever asked for or stored; codes is empty
	want  int      // the status of every answer
}

// Numbers of draws. wrk keeps the bytes of all requests up to a number of them, so that it spends no time on making them.
const (
	zipfDraws    = 1 << 16
	bigDraws     = 1 << 19
	unknownCodes = 1000
)

func hotLoad() workload { return workload{codes: []string{hotCode()}, want: http.StatusFound} }

func zipfLoad(n, draws int) workload {
	return workload{codes: zipfCodes(n, draws), want: http.StatusFound}
}

// coldLoad asks for n of the links, each once.
func coldLoad(n int) workload {
	codes := make([]string, n)
	for i := range codes {
		codes[i] = codeOf(i)
	}
	return workload{codes: codes, once: true, want: http.StatusFound}
}

func unknownLoad() workload {
	codes := make([]string, unknownCodes)
	for i := range codes {
		codes[i] = unknownCodeOf(i)
	}
	return workload{codes: codes, want: http.StatusNotFound}
}

func freshLoad() workload { return workload{fresh: true, want: http.StatusNotFound} }

// right reports whether an answer is the one that the code has to get.
func (w *workload) right(code string, status int, location []byte) bool {
	return status == w.want && (status != http.StatusFound || string(location) == targetOf(code))
}
