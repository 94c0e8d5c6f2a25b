package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// usage is what a server and its children have used.
type usage struct {
	CPU    time.Duration // on processors so far, in user and kernel mode
	RSS    int64         // bytes in memory; pages that several of them share count for each
	Anon   int64         // those of them that are no file's
	Faults int64         // pages that the system had to bring in, so far
}

// ticks a second in /proc/PID/stat: USER_HZ, which is 100 on every Linux that Go runs on.
const ticks = 100

// usageOf sums up a process and its descendants. One that ends meanwhile counts for nothing.
func usageOf(pid int) (usage, error) {
	parents, err := parentsOf()
	if err != nil {
		return usage{}, err
	}
	var sum usage
	for child := range parents {
		for at := child; at != 0; at = parents[at] {
			if at != pid {
				continue
			}
			u, err := usageOfOne(child)
			if err != nil && child == pid {
				return usage{}, err
			}
			sum.CPU, sum.RSS, sum.Anon, sum.Faults = sum.CPU+u.CPU, sum.RSS+u.RSS, sum.Anon+u.Anon, sum.Faults+u.Faults
			break
		}
	}
	return sum, nil
}

// parentsOf maps each process to the one that started it.
func parentsOf() (map[int]int, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	parents := map[int]int{}
	for _, path := range stats {
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path))) // the pattern has a digit first; what is no number is no process
		fields, err := statFields(pid)
		if err != nil {
			continue
		}
		if parents[pid], err = strconv.Atoi(fields[1]); err != nil {
			return nil, fmt.Errorf("read parent of a process: %w", err)
		}
	}
	return parents, nil
}

// statFields are the fields of /proc/PID/stat behind the command's name, which is in parentheses and may have spaces.
func statFields(pid int) ([]string, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, fmt.Errorf("read usage: %w", err)
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 13 {
		return nil, fmt.Errorf("read usage: %q is not understood", stat)
	}
	return fields, nil
}

func usageOfOne(pid int) (u usage, err error) {
	fields, err := statFields(pid)
	if err != nil {
		return u, err
	}
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return u, fmt.Errorf("read usage: %w", err)
		}
		u.CPU += time.Duration(n) * time.Second / ticks
	}
	for _, field := range []string{fields[7], fields[9]} { // minor and major ones
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return u, fmt.Errorf("read usage: %w", err)
		}
		u.Faults += n
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return u, fmt.Errorf("read usage: %w", err)
	}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		into := map[string]*int64{"VmRSS": &u.RSS, "RssAnon": &u.Anon}[name]
		if into == nil {
			continue
		}
		kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
		if err != nil {
			return u, fmt.Errorf("read memory: %w", err)
		}
		*into = kb << 10
	}
	return u, nil
}
