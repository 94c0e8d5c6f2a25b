package main

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

// closed are the values that each label may have, whatever a visitor sends. A route is one of the document's, or a word in brackets.
func closed() map[string]*regexp.Regexp {
	sets := map[string]*regexp.Regexp{}
	for label, pattern := range map[string]string{
		"method": "any|GET|POST|PUT|PATCH|DELETE", "route": `\((?:none|method)\)|/(?:[a-z.]+|\{id\})?(?:/(?:[a-z.]+|\{id\}))*`, "status": "pass|warn|fail|[1-5][0-9]{2}",
		"outcome": "redirect|not_found|inactive|expired|exhausted|unavailable|shed", "limiter": "api|writes|unknown|redirects",
		"part": "store|journal|actors|writer|feed|bus", "actor": "shard|loader|writer|feed|rates", "reason": "full|disk|error|closed",
		"store": "sqlite|postgres", "pool": "queries|lookups|scans|writer", "version": ".+", "revision": ".*", "go": `go1\.\S+`, "le": `[0-9.e+-]+|\+Inf`,
	} {
		sets[label] = regexp.MustCompile(`^(?:` + pattern + `)$`)
	}
	return sets
}

// TestLabelsAreClosedSets sends what a stranger can think of, and holds that no value of a label and no number of series comes from it.
func TestLabelsAreClosedSets(t *testing.T) {
	r := startHere(t, t.TempDir(), []string{"CAROM_ADMIN_KEY=" + testKey})
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	send := func(method, path string) {
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+r.addr+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		for _, header := range []string{"User-Agent", "X-Request-Id", "Referer", "X-Forwarded-For", "Host"} {
			req.Header.Set(header, "stranger-"+method)
		}
		answer, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
	}
	visit := func(n string) {
		for _, method := range []string{"GET", "POST", "OPTIONS", "TRACE", "BREW" + n, "get"} {
			for _, path := range []string{"/urls", "/urls/" + n, "/urls/stranger" + n, "/urls/1/" + n, "/keys/" + n + "/x", "/health/" + n, "/stranger" + n, "/stranger/" + n, "/%2e%2e/" + n, "/metrics/" + n, "/?q=" + n} {
				send(method, path)
			}
		}
	}
	series := func() map[string]string {
		_, text := fetch(t, "http://"+r.admin+"/metrics")
		_, samples := exposition(t, text)
		return samples
	}
	visit("1")
	series() // the scrape itself is a request of the API, which the next one shows
	before, sets, label := series(), closed(), regexp.MustCompile(`([a-z]+)="([^"]*)"`)
	for sample := range before {
		if !strings.HasPrefix(sample, "carom_") {
			continue
		}
		for _, m := range label.FindAllStringSubmatch(sample, -1) {
			if set := sets[m[1]]; set == nil || !set.MatchString(m[2]) || strings.Contains(m[2], "stranger") {
				t.Errorf("%s: %s has the value %q, which is none of a closed set", sample, m[1], m[2])
			}
		}
	}
	visit("2")
	for sample := range series() {
		if _, there := before[sample]; !there && strings.HasPrefix(sample, "carom_") {
			t.Errorf("%s came with other words in the same requests", sample)
		}
	}
	if code := r.stop(); code != exitOK {
		t.Errorf("exit %d, want 0: %s", code, r.rest)
	}
}
