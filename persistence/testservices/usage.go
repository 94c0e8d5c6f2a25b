package testservices

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// CPU is the processor time that the server and its living children have taken since they started, in the kernel's nanoseconds: for
// benchmarks, as wall time says little where others are at work too. Linux alone tells it. What a child took that has ended is not in it, so
// keep the connections open between two readings.
func (s *Server) CPU() (time.Duration, error) {
	s.mu.Lock()
	cmd := s.cmd
	s.mu.Unlock()
	if cmd == nil {
		return 0, fmt.Errorf("read processor time of %s: it does not run", s.name)
	}
	pid := cmd.Process.Pid
	sum, err := processorTime(pid)
	if err != nil {
		return 0, err
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return 0, fmt.Errorf("list children of %s: %w", s.name, err)
	}
	for _, field := range strings.Fields(string(children)) {
		child, err := strconv.Atoi(field)
		if err != nil {
			return 0, fmt.Errorf("list children of %s: %w", s.name, err)
		}
		took, err := processorTime(child)
		if err != nil && !errors.Is(err, os.ErrNotExist) { // it may have ended meanwhile
			return 0, err
		}
		sum += took
	}
	return sum, nil
}

// processorTime reads the first number of schedstat: nanoseconds on a processor. Of one thread, which is all that these servers' processes
// do their work on.
func processorTime(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", pid))
	if err != nil {
		return 0, fmt.Errorf("read processor time: %w", err)
	}
	first, _, _ := strings.Cut(string(text), " ")
	ns, err := strconv.ParseInt(first, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read processor time: %q is not understood", text)
	}
	return time.Duration(ns), nil
}
