package main

import (
	"context"
	"fmt"
	"time"

	"github.com/carom-dev/carom/loadtest/program"
)

// link is one that visitors ask for.
type link struct {
	code, target string
	visits       int // that it may have; 0: any number
}

// linksOf are n links whose codes begin with prefix.
func linksOf(prefix string, n int) []link {
	links := make([]link, n)
	for k := range links {
		code := fmt.Sprintf("%s%d", prefix, k)
		links[k] = link{code: code, target: "https://example.com/" + code}
	}
	return links
}

// makeLinks stores what linksOf says.
func makeLinks(ctx context.Context, api *program.API, prefix string, n int) ([]link, error) {
	return storeLinks(ctx, api, linksOf(prefix, n))
}

// storeLinks stores links and returns them.
func storeLinks(ctx context.Context, api *program.API, links []link) ([]link, error) {
	const atOnce = 1000
	// A Carom listens while it still prepares a slow database.
	if err := until(ctx, "the store is there", time.Minute, func() (bool, error) {
		_, _, err := api.ClickPage(ctx, "")
		return err == nil, nil
	}); err != nil {
		return nil, err
	}
	for from := 0; from < len(links); from += atOnce {
		part := links[from:min(from+atOnce, len(links))]
		bodies := make([]map[string]any, len(part))
		for k := range part {
			bodies[k] = map[string]any{"code": part[k].code, "url": part[k].target}
			if part[k].visits > 0 {
				bodies[k]["max_visits"] = part[k].visits
			}
		}
		if err := api.ShortenMany(ctx, bodies); err != nil {
			return nil, fmt.Errorf("make links: %w", err)
		}
	}
	return links, nil
}
