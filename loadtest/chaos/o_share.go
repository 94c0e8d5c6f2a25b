package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// errNoShare says that this machine lets nobody bound the share of the processors that a process gets.
var errNoShare = errors.New("the share of the processors can't be bounded here: that takes root and the cpu controller of cgroups")

// share bounds processes, together, to some percent of one processor, so that a load generator on the same machine can overload them.
// end has to end them all; it is called before the row is over.
func (e *env) share(percent int, end func() error, pids ...int) error {
	const period = 20_000 // microseconds: whoever has used up its share stands still for less than one; 1 ms is the least share
	dir := filepath.Join("/sys/fs/cgroup/cpu", "carom-chaos-"+strconv.Itoa(pids[0]))
	quota := map[string]string{"cpu.cfs_period_us": strconv.Itoa(period), "cpu.cfs_quota_us": strconv.Itoa(period * percent / 100)}
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil { // version 2
		dir = filepath.Join("/sys/fs/cgroup", filepath.Base(dir))
		quota = map[string]string{"cpu.max": fmt.Sprintf("%d %d", period*percent/100, period)}
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return fmt.Errorf("%w: %w", errNoShare, err)
	}
	e.later(func() error {
		if err := end(); err != nil { // a group with a process in it can't be removed
			return err
		}
		return os.Remove(dir)
	})
	for name, value := range quota {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(value), 0o644); err != nil {
			return fmt.Errorf("%w: %w", errNoShare, err)
		}
	}
	for _, pid := range pids {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o644); err != nil {
			return fmt.Errorf("%w: %w", errNoShare, err)
		}
	}
	return nil
}
