package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// usage is what a group of processes has used: processor time so far, and memory now.
type usage struct {
	cpu time.Duration
	rss int64 // bytes; memory that several processes share counts in each of them
}

// ticks a second in /proc/PID/stat: USER_HZ, which is 100 on every Linux that Go runs on.
const ticks = 100

// proc is a line of /proc/PID/stat.
type proc struct {
	parent int
	cpu    time.Duration // its own, and that of its children that have ended and were waited for
	rss    int64
}

// usages sums each group: the given processes and all their descendants (Linux).
func usages(groups map[string][]int) (map[string]usage, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	procs := map[int]proc{}
	for _, name := range stats {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended since
		}
		pid, p, err := parseStat(string(text))
		if err != nil {
			return nil, err
		}
		procs[pid] = p
	}
	of := map[int]string{}
	for group, pids := range groups {
		for _, pid := range pids {
			of[pid] = group
		}
	}
	sums := map[string]usage{}
	for pid, p := range procs {
		for up := pid; up > 1; up = procs[up].parent {
			group, ok := of[up]
			if !ok {
				continue
			}
			sum := sums[group]
			sum.cpu, sum.rss = sum.cpu+p.cpu, sum.rss+p.rss
			sums[group] = sum
			break
		}
	}
	return sums, nil
}

func parseStat(text string) (pid int, p proc, err error) {
	// The command's name, in parentheses, may have spaces and parentheses.
	left, right := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
	if left < 0 || right < left {
		return 0, p, fmt.Errorf("read process: %q is not understood", text)
	}
	fields := strings.Fields(text[right+1:])
	if len(fields) < 22 {
		return 0, p, fmt.Errorf("read process: %q is not understood", text)
	}
	number := func(field string) (n int64) {
		if err == nil {
			n, err = strconv.ParseInt(strings.TrimSpace(field), 10, 64)
		}
		return n
	}
	pid, p.parent = int(number(text[:left])), int(number(fields[1]))
	for _, field := range fields[11:15] { // utime, stime, cutime, cstime
		p.cpu += time.Duration(number(field)) * time.Second / ticks
	}
	p.rss = number(fields[21]) * int64(os.Getpagesize())
	if err != nil {
		return 0, p, fmt.Errorf("read process: %w", err)
	}
	return pid, p, nil
}
