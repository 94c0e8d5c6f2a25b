package main

import (
	"log/slog"
	"math/bits"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"github.com/carom-dev/carom/cmd/carom/internal/setting"
	"github.com/carom-dev/carom/engine"
	"github.com/carom-dev/carom/engine/table"
	"github.com/carom-dev/carom/persistence/journal"
	"github.com/carom-dev/carom/persistence/postgres"
	"github.com/carom-dev/carom/persistence/redis"
)

// Settings is everything that an operator can set for a server. Its tags are the one source of the flags, their variables,
// their defaults, the help and the README's table. Commands that need a part of it embed that part.
type Settings struct {
	ListenSettings   `group:"Listening"`
	StoreSettings    `group:"Storage"`
	BusSettings      `group:"Instances"`
	TargetSettings   `group:"Links"`
	CacheSettings    `group:"Look-ups"`
	JournalSettings  `group:"Clicks"`
	LimitSettings    `group:"Limits"`
	ShutdownSettings `group:"Shutdown"`
	LogSettings      `group:"Logs and profiles"`
}

// ListenSettings say where Carom answers, and whom it believes.
type ListenSettings struct {
	Listen         setting.Address  `default:":8080" help:"Where redirects and the API are served. Port 0 takes a free one."`
	AdminListen    setting.Address  `default:"127.0.0.1:9090" help:"Where metrics, health and profiles are served without a key; off for nowhere. Keep it private."`
	Listeners      setting.Count    `default:"1" help:"Sockets that share the port of --listen (SO_REUSEPORT), 1 to 64."`
	ConnectionsMax setting.Count    `default:"0" help:"Connections at once; more get 503. 0 is three quarters of the open files that the system allows."`
	TrustedProxies setting.Prefixes `placeholder:"NETWORKS" help:"Networks of the proxies whose X-Forwarded-For is believed, such as 10.0.0.0/8,127.0.0.1."`
	ProxyProtocol  bool             `help:"Expect the PROXY protocol from the trusted proxies."`
	HomeURL        string           `placeholder:"URL" help:"Where GET / leads; a short page of its own when unset."`
	AdminKey       setting.Secret   `placeholder:"KEY" help:"The first admin key, at least 24 characters; made and shown once at the first start when unset."`
}

// StoreSettings say where the data is.
type StoreSettings struct {
	DataDir     string         `default:"./carom-data" help:"Directory of the embedded store and of the click journal."`
	DatabaseURL setting.Secret `variable:"DATABASE_URL" placeholder:"URL" help:"PostgreSQL instead of the embedded store."`
	// The rest is for PostgreSQL alone.
	DatabasePool     setting.Count    `default:"10" help:"Connections to PostgreSQL for look-ups and edits, 1 to 1000; the writer has 2 more."`
	DatabaseExecMode string           `default:"cache_statement" help:"How queries are sent: cache_statement, or cache_describe or exec behind PgBouncer's transaction mode."`
	Migrate          bool             `default:"true" negatable:"" help:"Bring PostgreSQL's schema up to date at the start; the embedded store always is."`
	ClickRetention   setting.Duration `default:"0s" help:"How long single clicks are kept, 24h or more; 0s for ever. Totals and series stay."`
}

// BusSettings say how instances on one database hear of each other.
type BusSettings struct {
	RedisURL     setting.Secret `variable:"REDIS_URL" placeholder:"URL" help:"Redis, through which instances on one database tell each other of edits; several addresses with commas for a Cluster or Sentinels."`
	RedisMaster  string         `placeholder:"NAME" help:"The master's name, when the addresses of --redis-url are Sentinels."`
	RedisCluster bool           `help:"The one address of --redis-url is a Cluster's."`
	RedisPrefix  string         `default:"carom" help:"Begins the name of each channel; deployments that share a Redis need one each."`
}

// TargetSettings say which targets links may have.
type TargetSettings struct {
	BaseURL             string `placeholder:"URL" help:"What short URLs begin with, such as https://sho.rt; the request's Host when unset. No link may lead to its host."`
	AllowPrivateTargets bool   `help:"Accept targets on private and local addresses, for intranets."`
}

// CacheSettings bound the published tables and the look-ups behind them.
type CacheSettings struct {
	Shards        setting.Count    `default:"16" help:"Shards of the table and lanes of the journal; a power of two, 1 to 1024."`
	CacheBytes    setting.Size     `default:"1GiB" help:"Memory for links that are served without asking the store."`
	CacheTTL      setting.Duration `default:"300s" help:"How long a link is served before it is read again."`
	LookupsMax    setting.Count    `default:"1024" help:"Visitors that wait for one shard at once for links that are not in memory; more get 503."`
	LookupTimeout setting.Duration `default:"225ms" help:"How long each of them waits; then 503."`
	MemoryLimit   setting.Size     `default:"0" help:"Soft bound on the memory of the whole process, as GOMEMLIMIT; 0 leaves that in force."`
}

// JournalSettings say how clicks are kept until the store has them.
type JournalSettings struct {
	JournalBytes  setting.Size     `default:"2GiB" help:"Disk for clicks that are not in the store yet."`
	JournalSync   string           `default:"1s" help:"When clicks are made safe against power loss: an interval, always, or off."`
	JournalFull   string           `default:"drop" help:"What happens to a redirect whose click does not fit: drop the click, or refuse with 503."`
	ClickBatchMax setting.Count    `default:"5000" help:"Clicks that go to the store in one transaction; up to sixteen times as many while much comes."`
	ClickInterval setting.Duration `default:"200ms" help:"How long a click waits for others before it goes to the store; three times as long while batches are full."`
}

// LimitSettings are the rates a client is held to.
type LimitSettings struct {
	RateLimitAPI       setting.Rate `default:"200/m" help:"Requests to the API, a client; 0 for no limit."`
	RateLimitWrites    setting.Rate `default:"30/m" help:"Those of them that change something; 0 for no limit."`
	RateLimitUnknown   setting.Rate `default:"300/m" help:"Requests for codes that do not exist, a client's network; 0 for no limit."`
	RateLimitRedirects setting.Rate `default:"0" help:"Requests for codes that exist, a client; 0 for no limit."`
}

// ShutdownSettings bound the end.
type ShutdownSettings struct {
	DrainDelay      setting.Duration `default:"0s" help:"How long Carom answers on after it has said that it is not ready, so that balancers notice."`
	ShutdownTimeout setting.Duration `default:"30s" help:"How long requests and clicks under way are waited for; requests for half of it."`
}

// LogSettings say what is written about the process.
type LogSettings struct {
	LogLevel               string           `default:"info" help:"debug, info, warn or error."`
	LogFormat              string           `default:"auto" help:"json, text, or auto: text on a terminal."`
	FlightLatency          setting.Duration `default:"0s" help:"How slow a request must be for --flight-recorder to keep the trace of it in --data-dir, looked at for one hit in 64 and for everything else; 0s for never."`
	FlightRecorder         bool             `help:"Keep an execution trace of the last seconds, which GET /debug/flight on --admin-listen gives."`
	ProfileContention      bool             `help:"Count waits for locks and channels, for profiles that are fetched or sent."`
	PyroscopeServerAddress string           `variable:"PYROSCOPE_SERVER_ADDRESS" placeholder:"URL" help:"Where profiles are sent; nowhere when unset."`
}

// Bounds of settings that no room has a name for.
const (
	shardsMax       = 1024
	listenersMax    = 64
	memoryLimitMin  = 64 << 20
	clickBatchBound = 100_000
)

// Validate says what is wrong with the first setting that can't be used. It is the one place where settings are judged.
func (s *Settings) Validate() error {
	var c setting.Checks
	s.ListenSettings.check(&c)
	s.TargetSettings.check(&c)
	s.StoreSettings.check(&c)
	s.BusSettings.check(&c)
	c.That(!s.homeLoops(), "home-url", s.HomeURL, "another page than the one at --base-url, which leads there itself")
	c.That(s.RedisURL == "" || s.DatabaseURL != "", "redis-url", s.RedisURL, "nothing without --database-url: the embedded store has one instance")

	shards := int(s.Shards)
	c.That(bits.OnesCount(uint(shards)) == 1 && shards <= shardsMax, "shards", shards, "a power of two from 1 to 1024")
	cacheMin := setting.Size(table.BytesMin) * setting.Size(max(shards, 1))
	c.That(s.CacheBytes >= cacheMin, "cache-bytes", s.CacheBytes, cacheMin.String()+" or more, for the number of --shards")
	c.That(s.CacheTTL.Within(10*time.Second, 24*time.Hour), "cache-ttl", s.CacheTTL, "10s to 24h")
	c.That(s.LookupsMax >= 1, "lookups-max", s.LookupsMax, "1 or more")
	c.That(s.LookupTimeout.Within(time.Millisecond, time.Minute), "lookup-timeout", s.LookupTimeout, "1ms to 1m")
	c.That(s.MemoryLimit == 0 || s.MemoryLimit >= memoryLimitMin, "memory-limit", s.MemoryLimit, "64MiB or more, or 0")

	_, err := journal.ParseSync(s.JournalSync)
	c.That(err == nil, "journal-sync", s.JournalSync, "always, off, or an interval from 1ms to 1h")
	c.That(s.JournalFull == "drop" || s.JournalFull == "refuse", "journal-full", s.JournalFull, "drop or refuse")
	// Two of the smallest segments a lane: one in use and one prepared.
	journalMin := setting.Size(2 * journal.SegmentBytesMin * max(shards, 1))
	c.That(s.JournalBytes >= journalMin, "journal-bytes", s.JournalBytes, journalMin.String()+" or more, for the number of --shards")
	c.That(s.ClickBatchMax >= 1 && s.ClickBatchMax <= clickBatchBound, "click-batch-max", s.ClickBatchMax, "1 to 100000")
	c.That(s.ClickInterval.Within(time.Millisecond, time.Minute), "click-interval", s.ClickInterval, "1ms to 1m")

	c.That(s.DrainDelay.Within(0, 5*time.Minute), "drain-delay", s.DrainDelay, "0s to 5m")
	c.That(s.ShutdownTimeout.Within(time.Second, time.Hour), "shutdown-timeout", s.ShutdownTimeout, "1s to 1h")

	_, known := s.level()
	c.That(known, "log-level", s.LogLevel, "debug, info, warn or error")
	c.That(s.LogFormat == "auto" || s.LogFormat == "json" || s.LogFormat == "text", "log-format", s.LogFormat, "auto, json or text")
	c.That(s.FlightLatency == 0 || s.FlightLatency.Within(time.Millisecond, time.Minute), "flight-latency", s.FlightLatency, "1ms to 1m, or 0s")
	c.That(s.FlightLatency == 0 || s.FlightRecorder, "flight-latency", s.FlightLatency, "0s without --flight-recorder")
	c.That(s.PyroscopeServerAddress == "" || webURL(s.PyroscopeServerAddress) != nil,
		"pyroscope-server-address", s.PyroscopeServerAddress, "an http or https URL such as http://127.0.0.1:4040")
	return c.Err()
}

func (s *ListenSettings) check(c *setting.Checks) {
	c.That(s.Listen != setting.Off, "listen", s.Listen, "an address such as :8080 or 127.0.0.1:8080")
	c.That(s.Listeners >= 1 && s.Listeners <= listenersMax, "listeners", s.Listeners, "1 to 64")
	c.That(!s.ProxyProtocol || len(s.TrustedProxies.List) > 0, "proxy-protocol", s.ProxyProtocol, "false, or the proxies' networks in --trusted-proxies")
	c.That(s.HomeURL == "" || canonicalURL(s.HomeURL) != nil, "home-url", s.HomeURL, "an absolute http or https URL")
	_, _, err := engine.APIKeyOf(string(s.AdminKey), adminKeyName, adminScopes(), time.Time{}, time.Time{})
	c.That(s.AdminKey == "" || err == nil, "admin-key", s.AdminKey, "at least 24 printable ASCII characters without spaces")
}

func (s *StoreSettings) check(c *setting.Checks) {
	c.That(s.DataDir != "", "data-dir", s.DataDir, "a directory")
	c.That(s.DatabasePool >= 1 && s.DatabasePool <= 1000, "database-pool", s.DatabasePool, "1 to 1000")
	c.That(slices.Contains([]string{"cache_statement", "cache_describe", "exec"}, s.DatabaseExecMode),
		"database-exec-mode", s.DatabaseExecMode, "cache_statement, cache_describe or exec")
	c.That(s.ClickRetention == 0 || s.ClickRetention.Within(24*time.Hour, 1<<62), "click-retention", s.ClickRetention, "24h or more, or 0s")
	if s.DatabaseURL != "" {
		database := s.postgres(nil)
		c.That(database.Validate() == nil, "database-url", s.DatabaseURL, "a PostgreSQL URL such as postgres://user:password@host/database")
	}
}

// postgres is the shared store's configuration.
func (s *StoreSettings) postgres(log *slog.Logger) postgres.Config {
	return postgres.Config{
		URL: string(s.DatabaseURL), PoolMax: int(s.DatabasePool), ExecMode: s.DatabaseExecMode, SkipMigrate: !s.Migrate,
		ClickRetention: time.Duration(s.ClickRetention), Logger: log, Now: clock(),
	}
}

func (s *BusSettings) check(c *setting.Checks) {
	prefix := redis.Config{ChannelPrefix: s.RedisPrefix}
	c.That(prefix.Validate() == nil, "redis-prefix", s.RedisPrefix, "a few visible ASCII characters")
	c.That(s.RedisMaster == "" || s.RedisURL != "", "redis-master", s.RedisMaster, "nothing without --redis-url")
	c.That(!s.RedisCluster || s.RedisURL != "", "redis-cluster", s.RedisCluster, "false without --redis-url")
	if s.RedisURL != "" {
		bus := s.redis(nil)
		c.That(bus.Validate() == nil, "redis-url", s.RedisURL, "redis://, rediss:// or unix:// URLs that fit --redis-master, --redis-cluster and --redis-prefix")
	}
}

// redis is the bus's configuration.
func (s *BusSettings) redis(log *slog.Logger) redis.Config {
	return redis.Config{URL: string(s.RedisURL), Master: s.RedisMaster, Cluster: s.RedisCluster, ChannelPrefix: s.RedisPrefix, Logger: log}
}

func (s *TargetSettings) check(c *setting.Checks) {
	u := webURL(s.BaseURL)
	c.That(s.BaseURL == "" || u != nil && (u.Path == "" || u.Path == "/") && u.RawQuery == "" && u.Fragment == "",
		"base-url", s.BaseURL, "an http or https URL without a path, such as https://sho.rt")
}

// policy is the rule for targets that the settings make.
func (s *TargetSettings) policy() engine.TargetPolicy {
	p := engine.TargetPolicy{AllowPrivate: s.AllowPrivateTargets}
	if base := canonicalURL(s.BaseURL); base != nil {
		p.OwnHosts = []string{base.Host}
	}
	return p
}

// homeLoops reports whether GET / would lead to GET /.
func (s *Settings) homeLoops() bool {
	home, base := canonicalURL(s.HomeURL), canonicalURL(s.BaseURL)
	return home != nil && base != nil && home.Host == base.Host && home.Path == "/"
}

// canonicalURL parses an absolute http or https URL as a target is parsed, its host lower case and in ASCII, or returns nil.
func canonicalURL(s string) *url.URL {
	canonical, err := engine.TargetPolicy{AllowPrivate: true}.Canonical(s)
	if err != nil {
		return nil
	}
	return webURL(canonical)
}

// localURL is where a server that listens at an address can be asked from the same machine.
func localURL(listen setting.Address) string {
	host, port, _ := net.SplitHostPort(string(listen)) // an Address has been split before
	if addr, err := netip.ParseAddr(host); host == "" || err == nil && addr.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// webURL parses an absolute http or https URL without user information, or returns nil.
func webURL(s string) *url.URL {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
		return nil
	}
	return u
}

// validate judges the part alone, for the commands that have no other.
func (s *StoreSettings) validate() error {
	var c setting.Checks
	s.check(&c)
	return c.Err()
}

func (s *TargetSettings) validate() error {
	var c setting.Checks
	s.check(&c)
	return c.Err()
}
