package testservices

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"syscall"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// Proxy stands between a client and a server and breaks the line between them. Faults of a kind replace each other; Heal
// takes all of them away. Not safe for concurrent use.
type Proxy struct {
	proxy  *toxiproxy.Proxy
	toxics map[string]bool
}

// StartProxy listens on a free port of 127.0.0.1 and passes everything on to addr.
func StartProxy(addr string) (*Proxy, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	api := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	p := &Proxy{proxy: toxiproxy.NewProxy(api, addr, fmt.Sprintf("127.0.0.1:%d", port), addr), toxics: map[string]bool{}}
	if err := p.Up(); err != nil {
		return nil, err
	}
	return p, nil
}

// Addr is where clients connect; it stays the same over Down and Up.
func (p *Proxy) Addr() string { return p.proxy.Listen }

// URL puts the proxy's address into a server's URL.
func (p *Proxy) URL(server string) (string, error) {
	u, err := url.Parse(server)
	if err != nil {
		return "", fmt.Errorf("parse URL of the server: %w", err)
	}
	u.Host = p.Addr()
	return u.String(), nil
}

// Down cuts all connections and refuses new ones.
func (p *Proxy) Down() { p.proxy.Stop() }

// upTimeout bounds how long Up waits for its port: a process that is being started holds the old listener until it is executed.
const upTimeout = 5 * time.Second

// Up accepts connections again.
func (p *Proxy) Up() error {
	timeout := time.After(upTimeout)
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		err := p.proxy.Start()
		if err == nil {
			return nil
		}
		err = fmt.Errorf("start proxy: %w", err)
		if !errors.Is(err, syscall.EADDRINUSE) {
			return err
		}
		select {
		case <-tick.C:
		case <-timeout:
			return err
		}
	}
}

// Reset cuts all connections; new ones are accepted at once.
func (p *Proxy) Reset() error {
	p.Down()
	return p.Up()
}

// Latency delays what the server answers.
func (p *Proxy) Latency(d time.Duration) error {
	return p.set("latency", "latency", "downstream", fmt.Sprintf(`{"latency":%d}`, d.Milliseconds()))
}

// Narrow lets the client send that many kilobytes a second.
func (p *Proxy) Narrow(rate int) error {
	return p.set("narrow", "bandwidth", "upstream", fmt.Sprintf(`{"rate":%d}`, rate))
}

// Blackhole swallows everything in both directions; connections stay open and new ones are accepted.
func (p *Proxy) Blackhole() error {
	if err := p.set("swallow_up", "timeout", "upstream", `{"timeout":0}`); err != nil {
		return err
	}
	return p.set("swallow_down", "timeout", "downstream", `{"timeout":0}`)
}

// Swallow drops the server's answers only: what the client sends still arrives.
func (p *Proxy) Swallow() error {
	return p.set("swallow_down", "timeout", "downstream", `{"timeout":0}`)
}

// ResetPeer answers whatever the client sends with a TCP reset.
func (p *Proxy) ResetPeer() error {
	return p.set("reset_peer", "reset_peer", "upstream", `{"timeout":0}`)
}

// CutAfter closes each connection when the server has sent n bytes on it.
func (p *Proxy) CutAfter(n int64) error {
	return p.set("cut", "limit_data", "downstream", fmt.Sprintf(`{"bytes":%d}`, n))
}

// Heal takes all faults away. Connections that were swallowed are cut, as bytes are missing in them.
func (p *Proxy) Heal(ctx context.Context) {
	p.proxy.Toxics.ResetToxics(ctx)
	clear(p.toxics)
}

// Close ends the proxy and its connections.
func (p *Proxy) Close() { p.Down() }

func (p *Proxy) set(name, kind, stream, attributes string) error {
	body := fmt.Sprintf(`{"name":%q,"type":%q,"stream":%q,"toxicity":1,"attributes":%s}`, name, kind, stream, attributes)
	if p.toxics[name] {
		// The library's own way to change a fault writes to it while connections read it.
		if err := p.proxy.Toxics.RemoveToxic(context.Background(), name); err != nil {
			return fmt.Errorf("take away fault %s: %w", name, err)
		}
		delete(p.toxics, name)
	}
	if _, err := p.proxy.Toxics.AddToxicJson(strings.NewReader(body)); err != nil {
		return fmt.Errorf("set fault %s: %w", name, err)
	}
	p.toxics[name] = true
	return nil
}
