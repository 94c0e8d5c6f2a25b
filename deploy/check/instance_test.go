package check

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"
)

const adminKey = "carom_check_0123456789abcdefghijklmnop"

// instance is a running carom with data of its own.
type instance struct {
	addr string
	url  string
	cmd  *exec.Cmd
}

// start runs a carom until the test ends.
func start(t *testing.T, environ ...string) *instance {
	t.Helper()
	cmd := exec.Command(carom, "serve") //nolint:noctx // ended below, the hard way
	cmd.Env = append([]string{
		"CAROM_LISTEN=127.0.0.1:0", "CAROM_ADMIN_LISTEN=off", "CAROM_DATA_DIR=" + t.TempDir(), "CAROM_ADMIN_KEY=" + adminKey,
		"CAROM_LOG_FORMAT=json", "CAROM_CACHE_BYTES=64MiB", "CAROM_JOURNAL_BYTES=32MiB",
	}, environ...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	i := &instance{cmd: cmd}
	t.Cleanup(i.kill)
	late := time.AfterFunc(time.Minute, i.kill)
	defer late.Stop()
	var said strings.Builder
	for lines := bufio.NewScanner(stderr); i.addr == "" && lines.Scan(); {
		var line struct{ Msg, Addr string }
		said.WriteString(lines.Text() + "\n")
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "listening" {
			i.addr = line.Addr
		}
	}
	if i.addr == "" {
		t.Fatalf("carom does not listen:\n%s", said.String())
	}
	go func() { _, _ = io.Copy(io.Discard, stderr) }() // ends with the process
	i.url = "http://" + i.addr
	return i
}

func (i *instance) kill() {
	_ = i.cmd.Process.Kill()
	_ = i.cmd.Wait()
}

// link makes a link.
func (i *instance) link(t *testing.T, code, target string) {
	t.Helper()
	body := strings.NewReader(`{"url": "` + target + `", "code": "` + code + `"}`)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, i.url+"/shorten", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+adminKey)
	req.Header.Set("Content-Type", "application/json")
	if got := do(t, req); got.StatusCode != http.StatusCreated {
		t.Fatalf("POST /shorten = %d", got.StatusCode)
	}
}

// get asks once, with a claim of another address where one is given.
func get(t *testing.T, url, claim string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if claim != "" {
		req.Header.Set("X-Forwarded-For", claim)
	}
	return do(t, req)
}

func do(t *testing.T, req *http.Request) *http.Response {
	t.Helper()
	client := http.Client{Timeout: 20 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	got, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	got.Body.Close()
	return got
}

// clickAddresses are the truncated addresses of a link's clicks, when there are as many as wanted.
func (i *instance) clickAddresses(t *testing.T, want int) []string {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for range 600 {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, i.url+"/clicks", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+adminKey)
		client := http.Client{Timeout: 20 * time.Second}
		got, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var page struct{ Data []struct{ IP string } }
		err = json.NewDecoder(got.Body).Decode(&page)
		got.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Data) >= want {
			var all []string
			for _, click := range page.Data {
				all = append(all, click.IP)
			}
			return all
		}
		<-tick.C
	}
	t.Fatalf("never had %d clicks", want)
	return nil
}
