package redis

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Config says where Redis is and how it is used. The zero value is a server on this machine.
type Config struct {
	// URL is redis://, rediss:// (TLS) or unix://, with user, password and database; "" means redis://127.0.0.1:6379. Several
	// addresses, separated by commas, are a Cluster's seeds or, with Master, the Sentinels. Of the parameters db, client_name,
	// protocol and skip_verify are read; timeouts and pools are the bus's own.
	URL string
	// Master is the name under which Sentinels know the master; "" means no Sentinel.
	Master string
	// SentinelPassword is the Sentinels' own; "" means that they have none. User and password of the URL are the master's.
	SentinelPassword string
	// Cluster makes a single address a Cluster's seed, too.
	Cluster bool
	// ChannelPrefix begins the name of each channel: deployments that share a server need one each. "" means "carom".
	ChannelPrefix string
	// Timeout bounds each call and each of its steps, 1 ms to 10 s; 0 means 100 ms.
	Timeout time.Duration
	// Logger takes the beginning and the end of each outage; nil: no log.
	Logger *slog.Logger
}

const (
	urlDefault     = "redis://127.0.0.1:6379"
	prefixDefault  = "carom"
	prefixMaxLen   = 64
	timeoutDefault = 100 * time.Millisecond
	timeoutMin     = time.Millisecond
	timeoutMax     = 10 * time.Second
	// poolMax connections publish; more callers wait within their timeout. The feed and the health check are all there is.
	poolMax = 4
)

// Validate names the first field that is not accepted.
func (c *Config) Validate() error {
	switch {
	case c.Timeout != 0 && (c.Timeout < timeoutMin || c.Timeout > timeoutMax):
		return fmt.Errorf("Timeout is %v; 0 or %v to %v are accepted", c.Timeout, timeoutMin, timeoutMax) //nolint:staticcheck // the field's name
	case len(c.ChannelPrefix) > prefixMaxLen:
		return fmt.Errorf("ChannelPrefix has %d bytes; at most %d are accepted", len(c.ChannelPrefix), prefixMaxLen)
	case strings.ContainsFunc(c.ChannelPrefix, func(r rune) bool { return r <= ' ' || r > '~' }):
		return fmt.Errorf("ChannelPrefix is %q; visible ASCII characters are accepted", c.ChannelPrefix)
	case c.Master != "" && c.Cluster:
		return errors.New("Master and Cluster are both set; Sentinels do not watch a Cluster, so leave one out") //nolint:staticcheck // the fields' names
	case c.Master == "" && c.SentinelPassword != "":
		return errors.New("SentinelPassword is set without Master; give the name under which the Sentinels know the master")
	}
	filled := c.withDefaults()
	opt, addrs, err := parseURL(filled.URL)
	if err != nil {
		return err
	}
	cluster := c.Master == "" && (c.Cluster || len(addrs) > 1)
	switch {
	case opt.Network == "unix" && (cluster || c.Master != ""):
		return errors.New("URL is a unix socket; a Cluster and Sentinels need host:port")
	case opt.DB != 0 && cluster:
		return fmt.Errorf("URL has database %d; a Cluster has only 0", opt.DB)
	}
	return nil
}

func (c *Config) withDefaults() Config {
	filled := *c
	if filled.URL == "" {
		filled.URL = urlDefault
	}
	if filled.ChannelPrefix == "" {
		filled.ChannelPrefix = prefixDefault
	}
	if filled.Timeout == 0 {
		filled.Timeout = timeoutDefault
	}
	return filled
}

// parseURL reads a URL with one or several addresses. The error does not repeat any of it, as it may hold a password.
func parseURL(text string) (opt redis.Options, addrs []string, err error) {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		scheme, rest = "redis", text
	}
	rest = strings.ReplaceAll(rest, ","+scheme+"://", ",") // each address may repeat the scheme
	authority, tail := rest, ""
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, tail = rest[:i], rest[i:]
	}
	user, hosts := "", authority
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		user, hosts = authority[:i+1], authority[i+1:]
	}
	for host := range strings.SplitSeq(hosts, ",") {
		o, err := redis.ParseURL(scheme + "://" + user + host + tail)
		if err != nil || host == "" && strings.Contains(hosts, ",") {
			return redis.Options{}, nil, errors.New("URL is not accepted; give redis://user:password@host:port/database, rediss:// for TLS " +
				"or unix://path, several host:port separated by commas, and special characters of the password percent-encoded")
		}
		if addrs == nil {
			opt = *o
		}
		addrs = append(addrs, o.Addr)
	}
	if len(addrs) > 1 && opt.TLSConfig != nil {
		opt.TLSConfig.ServerName = "" // each is checked by the name it is called by, not by the first one's
	}
	return opt, addrs, nil
}

// newClient makes a client that waits no longer than step for anything. It connects when it is used.
func (b *Bus) newClient(step time.Duration) redis.UniversalClient {
	opt := &redis.UniversalOptions{
		Addrs: b.addrs, MasterName: b.cfg.Master, IsClusterMode: b.cfg.Cluster,
		DB: b.url.DB, Username: b.url.Username, Password: b.url.Password, SentinelPassword: b.cfg.SentinelPassword,
		Protocol: b.url.Protocol, ClientName: b.url.ClientName, TLSConfig: b.url.TLSConfig,

		DialTimeout: step, ReadTimeout: step, WriteTimeout: step, PoolTimeout: step,
		// Without it a context's end is not looked at while a call waits for the server.
		ContextTimeoutEnabled: true,
		MaxRetries:            -1,
		DialerRetries:         1,
		PoolSize:              poolMax,
		PipelinePoolSize:      -1, // pipelines are all there is; they need no pool of their own
		MaxRedirects:          -1,
		DisableIdentity:       true,
		// Extra commands at each connect, for a service of one vendor.
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	if opt.ClientName == "" {
		opt.ClientName = "carom"
	}
	return redis.NewUniversalClient(opt)
}
