package main

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
)

// The links of all rows: number n has the code codeOf(n), and leads to targetOf(its code). Codes are in no order, and all answers have the
// same length.

const (
	codeSpace    = 100_000_000 // numbers that a code can have
	codeMultiple = 7_368_787   // has no factor in common with codeSpace, so that each number has a code of its own
)

func codeOf(n int) string        { return fmt.Sprintf("b%08d", n*codeMultiple%codeSpace) }
func unknownCodeOf(n int) string { return fmt.Sprintf("u%08d", n*codeMultiple%codeSpace) }

func targetOf(code string) string {
	return "https://www.example.com/some/target/of/usual/length?campaign=" + code
}

// hotCode is the code of the one link that the hot rows ask for.
func hotCode() string { return codeOf(0) }

// writeLinks writes the first n links as `carom import` reads them.
func writeLinks(w io.Writer, n int) error {
	out := bufio.NewWriterSize(w, 1<<20)
	for i := range n {
		code := codeOf(i)
		fmt.Fprintf(out, "{\"code\":%q,\"url\":%q}\n", code, targetOf(code))
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write links: %w", err)
	}
	return nil
}

// zipfExponent makes the most popular of 100,000 links get a twelfth of all visits.
const zipfExponent = 1.01

// zipfCodes draws codes of n links as visitors do. The same n gives the same draws.
func zipfCodes(n, draws int) []string {
	zipf := rand.NewZipf(rand.New(rand.NewPCG(1, 2)), zipfExponent, 1, uint64(n-1))
	codes := make([]string, draws)
	for i := range codes {
		codes[i] = codeOf(int(zipf.Uint64()))
	}
	return codes
}

// distinct returns each code once.
func distinct(codes []string) []string {
	seen := make(map[string]bool, len(codes))
	var all []string
	for _, code := range codes {
		if !seen[code] {
			seen[code] = true
			all = append(all, code)
		}
	}
	return all
}
