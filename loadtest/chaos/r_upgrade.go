package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/carom-dev/carom/loadtest/client"
)

const migrationsDir = "persistence/postgres/migrations"

// errNoHistory says that this is a shallow clone.
var errNoHistory = errors.New("the history here does not go back to before the newest migration")

// previousCarom builds the last version that does not know the newest migration, out of the history. The name says which.
func (e *env) previousCarom(ctx context.Context) (binary, name string, err error) {
	git := func(args ...string) (string, error) {
		out, err := exec.CommandContext(ctx, "git", append([]string{"-C", e.root}, args...)...).Output()
		if err != nil {
			return "", fmt.Errorf("git %s: %w", args[0], err)
		}
		return strings.TrimSpace(string(out)), nil
	}
	files, err := filepath.Glob(filepath.Join(e.root, migrationsDir, "*.sql"))
	if err != nil || len(files) < 2 {
		return "", "", fmt.Errorf("find the newest migration: there are %d: %w", len(files), err)
	}
	newest := filepath.Base(files[len(files)-1])
	commit, err := git("log", "--diff-filter=A", "--format=%H", "-1", "--", filepath.Join(migrationsDir, newest))
	if err != nil {
		return "", "", err
	}
	before, err := git("rev-parse", "--short=12", commit+"~1")
	if err != nil || commit == "" {
		return "", "", fmt.Errorf("%w: %s", errNoHistory, newest)
	}
	tree, err := e.subdir("previous")
	if err != nil {
		return "", "", err
	}
	archive := filepath.Join(e.dir, "previous.tar")
	if _, err := git("archive", "-o", archive, before); err != nil {
		return "", "", err
	}
	if out, err := exec.CommandContext(ctx, "tar", "-xf", archive, "-C", tree).CombinedOutput(); err != nil {
		return "", "", fmt.Errorf("unpack %s: %w\n%s", before, err, out)
	}
	binary = filepath.Join(e.dir, "carom-previous")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/carom")
	cmd.Dir = tree
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", "", fmt.Errorf("build %s: %w\n%s", before, err, out)
	}
	return binary, fmt.Sprintf("%s, without %s", before, newest), os.RemoveAll(tree)
}

// upgrade lets two instances of the previous version serve behind nginx, and restarts them one by one as the version of this tree.
func upgrade(ctx context.Context, e *env) (string, bool, error) {
	previous, name, err := e.previousCarom(ctx)
	if errors.Is(err, errNoHistory) {
		return err.Error(), false, nil
	}
	if err != nil {
		return "", false, err
	}
	p, err := e.startPair(ctx, func(i *instance) { i.binary = previous })
	if err != nil {
		return "", false, err
	}
	old, upgraded := p.instances[1], p.instances[0]
	links, err := makeLinks(ctx, old.api, "u", 64)
	if err != nil {
		return "", false, err
	}
	steady := len(links)
	for _, version := range []string{"old", "new"} {
		prefix, n := madeBy(version)
		links = append(links, linksOf(prefix, n)...)
	}
	o := newOracle(links)
	l := startLoad(ctx, o, loadConfig{addr: func() string { return p.addr }, rate: 500, choose: func(n int) int { return n % steady }})
	defer l.stop()
	all := l.enter()
	for n, i := range []*instance{upgraded, old} {
		if err := wait(ctx, nginxForgets); err != nil {
			return "", false, err
		}
		if err := i.stop(); err != nil {
			return all.String(), false, err
		}
		i.binary = e.carom
		if err := i.start(ctx); err != nil {
			return all.String(), false, err
		}
		if n > 0 {
			break
		}
		// Both versions work on the new schema: each makes a link that the other one serves and counts.
		if err := bothWork(ctx, o, old, upgraded); err != nil {
			return all.String(), false, err
		}
	}
	if err := wait(ctx, time.Second); err != nil {
		return "", false, err
	}
	l.stop()
	figure := "from " + name
	if err := all.failures(); err != nil {
		return figure, false, err
	}
	t, err := o.check(ctx, upgraded.api, patience)
	return fmt.Sprintf("%s, 0 requests failed: %v; %v", figure, t, all), true, err
}

// madeBy are the codes of the links that one version makes while the other serves, too.
func madeBy(version string) (prefix string, n int) { return "made-by-" + version + "-", 8 }

// bothWork makes links with one version and follows them with the other.
func bothWork(ctx context.Context, o *oracle, old, upgraded *instance) error {
	for version, way := range map[string][2]*instance{"old": {old, upgraded}, "new": {upgraded, old}} {
		prefix, n := madeBy(version)
		made, err := makeLinks(ctx, way[0].api, prefix, n)
		if err != nil {
			return fmt.Errorf("the %s version: %w", version, err)
		}
		conn, err := client.Dial(way[1].addr, 10*time.Second)
		if err != nil {
			return err
		}
		defer conn.Close()
		for _, l := range made {
			id := o.send(o.index[l.code])
			r, err := conn.Do(appendVisit(nil, l.code, id))
			if err != nil {
				return fmt.Errorf("follow a link of the %s version on the other: %w", version, err)
			}
			o.answer(id, r.Status, string(r.Location))
		}
		for _, i := range way {
			if _, err := i.api.Links(ctx); err != nil {
				return err
			}
		}
	}
	return o.judge()
}
