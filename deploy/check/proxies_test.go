package check

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// proxies are the configurations that an operator may put in front of the instances.
func proxies() map[string]func(*testing.T, []*instance, func(string) string) string {
	return map[string]func(*testing.T, []*instance, func(string) string) string{"nginx": startNginx, "haproxy": startHAProxy}
}

// freePort is a port nobody listens on now.
func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// startProxy runs a proxy until the test ends, and returns when it answers.
func startProxy(t *testing.T, addr, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...) //nolint:noctx // ended below
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() { _ = cmd.Wait(); close(gone) }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		select {
		case <-gone:
		case <-time.After(10 * time.Second):
			_ = cmd.Process.Kill()
			<-gone
		}
	})
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 1500 {
		select {
		case <-gone:
			t.Fatalf("%s ended:\n%s", name, said.String())
		case <-tick.C:
		}
		if conn, err := net.Dial("tcp", addr); err == nil { //nolint:noctx // on loopback, at once
			conn.Close()
			return "http://" + addr
		}
	}
	t.Fatalf("%s does not listen", name)
	return ""
}

// write puts a configuration into a folder of the test.
func write(t *testing.T, name, config string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(config), 0o644); err != nil { //nolint:gosec // nginx's workers may have another user
		t.Fatal(err)
	}
	return path
}

// startNginx runs nginx with the committed configuration, at other addresses.
func startNginx(t *testing.T, all []*instance, change func(string) string) string {
	t.Helper()
	nginx, addr, dir := need(t, "nginx", "/usr/sbin/nginx"), freePort(t), t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil { //nolint:gosec // its workers may have another user
		t.Fatal(err)
	}
	config := strings.NewReplacer("listen 8080 reuseport", "listen "+addr, "/tmp/nginx", dir+"/nginx").Replace(text(t, "deploy/nginx/nginx.conf"))
	for i, one := range all {
		config = strings.Replace(config, fmt.Sprintf("carom-%d:8080", i+1), one.addr, 1)
	}
	path := write(t, "nginx.conf", change(config))
	if out, ok := output(t, nil, nginx, "-t", "-e", "stderr", "-c", path); !ok || strings.Contains(out, "[warn]") {
		t.Fatalf("nginx -t says:\n%s", out)
	}
	return startProxy(t, addr, nginx, "-e", "stderr", "-c", path, "-g", "daemon off;")
}

// startHAProxy runs HAProxy with the committed configuration, at other addresses.
func startHAProxy(t *testing.T, all []*instance, change func(string) string) string {
	t.Helper()
	haproxy, addr := need(t, "haproxy", "/usr/sbin/haproxy"), freePort(t)
	// Fewer connections, as the test may have fewer files.
	config := strings.NewReplacer("bind :8080", "bind "+addr, "maxconn 16384", "maxconn 100").Replace(text(t, "deploy/haproxy/haproxy.cfg"))
	for i, one := range all {
		config = strings.Replace(config, fmt.Sprintf(" carom-%d:8080", i+1), " "+one.addr, 1)
	}
	path := write(t, "haproxy.cfg", change(config))
	if out, ok := output(t, nil, haproxy, "-c", "-f", path); !ok || strings.Contains(out, "WARNING") {
		t.Fatalf("haproxy -c says:\n%s", out)
	}
	return startProxy(t, addr, haproxy, "-db", "-f", path)
}

func asIs(config string) string { return config }

// threeInstances start with the same link, each on its own data.
func threeInstances(t *testing.T) []*instance {
	t.Helper()
	var all []*instance
	for range 3 {
		one := start(t, "CAROM_TRUSTED_PROXIES=127.0.0.1/32")
		one.link(t, "hello", "https://example.com/")
		all = append(all, one)
	}
	return all
}

// TestProxiesGoOnWithoutAnInstance holds that a visitor does not notice when an instance dies the hard way.
func TestProxiesGoOnWithoutAnInstance(t *testing.T) {
	for name, begin := range proxies() {
		t.Run(name, func(t *testing.T) {
			all := threeInstances(t)
			url := begin(t, all, asIs)
			for i := range 300 {
				if i == 100 {
					all[1].kill()
				}
				if got := get(t, url+"/hello", ""); got.StatusCode != 302 || got.Header.Get("Location") != "https://example.com/" {
					t.Fatalf("visit %d was answered %d", i, got.StatusCode)
				}
			}
		})
	}
}

// TestProxiesTellTheVisitorsAddress holds that an instance sees the proxy's visitor, not the proxy, and not what the visitor claims.
func TestProxiesTellTheVisitorsAddress(t *testing.T) {
	for name, begin := range proxies() {
		t.Run(name, func(t *testing.T) {
			one := start(t, "CAROM_TRUSTED_PROXIES=127.0.0.1/32")
			one.link(t, "hello", "https://example.com/")
			url := begin(t, []*instance{one, one, one}, asIs)
			get(t, one.url+"/hello", "203.0.113.7") // as a trusted proxy would: believed
			get(t, url+"/hello", "198.51.100.7")    // as a visitor of the proxy: not
			seen := one.clickAddresses(t, 2)
			if len(seen) != 2 || seen[0] != "203.0.113.0" || seen[1] != "127.0.0.0" {
				t.Errorf("the clicks came from %q, want the trusted proxy's visitor and this machine", seen)
			}
		})
	}
}

// TestProxiesKeepFiguresInside holds that metrics and the deep health check are this machine's alone, however a stranger writes their paths.
func TestProxiesKeepFiguresInside(t *testing.T) {
	stranger := func(config string) string { // to whom this machine is not the proxy's own
		return regexp.MustCompile(`127\.0\.0\.0/8`).ReplaceAllString(config, "192.0.2.0/24")
	}
	for name, begin := range proxies() {
		t.Run(name, func(t *testing.T) {
			one := start(t)
			all := []*instance{one, one, one}
			inside, outside := begin(t, all, asIs), begin(t, all, stranger)
			for _, path := range []string{"/metrics", "/health"} {
				if got := get(t, inside+path, ""); got.StatusCode != 200 {
					t.Errorf("this machine gets %d for %s", got.StatusCode, path)
				}
			}
			for _, path := range []string{"/metrics", "/health", "//metrics", "/metrics/", "/%6Detrics", "/x/../metrics", "/./health", "/metrics?x=1", "/metrics%2F"} {
				if got := get(t, outside+path, "127.0.0.1"); got.StatusCode != 403 && got.StatusCode != 404 {
					t.Errorf("a stranger gets %d for %s", got.StatusCode, path)
				}
			}
			for _, path := range []string{"/health/live", "/health/ready"} {
				if got := get(t, outside+path, ""); got.StatusCode != 200 {
					t.Errorf("a balancer gets %d for %s", got.StatusCode, path)
				}
			}
		})
	}
}
