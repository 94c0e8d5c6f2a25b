package redis

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestURLsAreRead(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]struct {
		addrs          []string
		user, password string
		db             int
		tls            string
	}{
		"redis://127.0.0.1:6379":                       {addrs: []string{"127.0.0.1:6379"}},
		"cache.example":                                {addrs: []string{"cache.example:6379"}},
		"redis://[::1]":                                {addrs: []string{"[::1]:6379"}},
		"redis://u:p%2Fw@h:1/3":                        {addrs: []string{"h:1"}, user: "u", password: "p/w", db: 3},
		"rediss://:a,b@h:1?db=2":                       {addrs: []string{"h:1"}, password: "a,b", db: 2, tls: "h"},
		"a:1,b:2,c":                                    {addrs: []string{"a:1", "b:2", "c:6379"}},
		"redis://u:p@a:1,redis://b:2,c:3":              {addrs: []string{"a:1", "b:2", "c:3"}, user: "u", password: "p"},
		"unix:///run/redis.sock?db=1":                  {addrs: []string{"/run/redis.sock"}, db: 1},
		"redis://h:1?read_timeout=9s&max_retries=7":    {addrs: []string{"h:1"}},
		"rediss://a.example:1,b.example:2?protocol=2":  {addrs: []string{"a.example:1", "b.example:2"}},
		"redis://user:p%40ss@h?client_name=instance-1": {addrs: []string{"h:6379"}, user: "user", password: "p@ss"},
	} {
		opt, addrs, err := parseURL(url)
		if err != nil {
			t.Errorf("parseURL(%q) = %v", url, err)
			continue
		}
		tls := ""
		if opt.TLSConfig != nil {
			tls = opt.TLSConfig.ServerName
		}
		if !slices.Equal(addrs, want.addrs) || opt.Username != want.user || opt.Password != want.password || opt.DB != want.db || tls != want.tls {
			t.Errorf("parseURL(%q) = %v %q %q %d %q, want %+v", url, addrs, opt.Username, opt.Password, opt.DB, tls, want)
		}
	}
}

func TestWrongSettingsAreNamed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cfg  Config
		want string // the setting
	}{
		"scheme":                {Config{URL: "http://h:1/secret"}, "URL"},
		"port":                  {Config{URL: "redis://:secret@h:port"}, "URL"},
		"raw slash in password": {Config{URL: "redis://:12/secret@h"}, "URL"},
		"parameter":             {Config{URL: "redis://h?secret=1"}, "URL"},
		"empty address":         {Config{URL: "redis://a:1,,b:2"}, "URL"},
		"comma at the end":      {Config{URL: "a:1,"}, "URL"},
		"cluster on a socket":   {Config{URL: "unix:///s", Cluster: true}, "URL"},
		"sentinel on a socket":  {Config{URL: "unix:///s", Master: "m"}, "URL"},
		"database of a cluster": {Config{URL: "redis://a:1,b:2/1"}, "URL"},
		"master and cluster":    {Config{Master: "m", Cluster: true}, "Master"},
		"password of nobody":    {Config{SentinelPassword: "secret"}, "SentinelPassword"},
		"short timeout":         {Config{Timeout: time.Microsecond}, "Timeout"},
		"long timeout":          {Config{Timeout: time.Minute}, "Timeout"},
		"negative timeout":      {Config{Timeout: -1}, "Timeout"},
		"space in the prefix":   {Config{ChannelPrefix: "a b"}, "ChannelPrefix"},
		"long prefix":           {Config{ChannelPrefix: strings.Repeat("a", prefixMaxLen+1)}, "ChannelPrefix"},
	} {
		err := c.cfg.Validate()
		if err == nil || !strings.HasPrefix(err.Error(), c.want+" ") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: Validate = %v, want an error about %s that tells no secret", name, err, c.want)
		}
		if _, err := Open(c.cfg); err == nil {
			t.Errorf("%s: Open accepts it", name)
		}
	}
	if err := new(Config).Validate(); err != nil {
		t.Errorf("Validate of the zero value = %v", err)
	}
}
