package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	spans "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// collector takes spans as a collector does, by OTLP over HTTP.
type collector struct {
	*httptest.Server
	mu       sync.Mutex
	spans    []*spans.Span // guarded by mu
	resource map[string]string
}

func startCollector(t *testing.T) *collector {
	c := &collector{resource: map[string]string{}}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var got v1.ExportTraceServiceRequest
		if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(body, &got) != nil {
			t.Errorf("%s %s is no export of spans (%v)", r.Method, r.URL.Path, err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, about := range got.GetResourceSpans() {
			for _, a := range about.GetResource().GetAttributes() {
				c.resource[a.GetKey()] = a.GetValue().GetStringValue()
			}
			for _, scope := range about.GetScopeSpans() {
				c.spans = append(c.spans, scope.GetSpans()...)
			}
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(c.Close)
	return c
}

// named are the spans of one name that have arrived.
func (c *collector) named(name string) []*spans.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(c.spans), func(s *spans.Span) bool { return s.GetName() != name })
}

func fact(s *spans.Span, name string) *common.AnyValue {
	for _, a := range s.GetAttributes() {
		if a.GetKey() == name {
			return a.GetValue()
		}
	}
	return nil
}

func TestTraces(t *testing.T) {
	c := startCollector(t)
	// The library reads the process's environment.
	environ := map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": c.URL, "OTEL_BSP_SCHEDULE_DELAY": "100", "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test"}
	lines := []string{"CAROM_ADMIN_KEY=" + testKey}
	for name, value := range environ {
		t.Setenv(name, value)
		lines = append(lines, name+"="+value)
	}
	dir := t.TempDir()
	carom(t, "import", "--data-dir="+dir, write(t, "links.csv", sampleCSV))
	r := startHere(t, dir, lines)
	for range 5 {
		get(t, "http://"+r.addr+"/plain")
	}
	get(t, "http://"+r.addr+"/nothing")
	get(t, "http://"+r.addr+"/health")

	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.addr+"/urls?limit=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+testKey)
	request.Header.Set("Traceparent", "00-"+trace+"-00f067aa0ba902b7-01")
	client := http.Client{Timeout: 10 * time.Second}
	answer, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	client.CloseIdleConnections()
	if code := r.stop(); code != exitOK {
		t.Fatalf("exit %d: %s", code, r.rest)
	}

	// All spans have been sent at the end.
	if lookups := c.named("look up"); len(lookups) != 2 {
		t.Errorf("%d look-ups have a span, want 2: five requests for a link were one miss and four hits", len(lookups))
	} else if got := fact(lookups[0], "carom.outcome").GetStringValue() + " " + fact(lookups[1], "carom.outcome").GetStringValue(); got != "redirect not_found" {
		t.Errorf("the look-ups came to %s", got)
	}
	if loads := c.named("load links"); len(loads) != 2 || fact(loads[0], "carom.codes").GetIntValue() != 1 {
		t.Errorf("the queries' spans are %v, want 2 of one code each", loads)
	}
	clicks := int64(0)
	for _, s := range c.named("store clicks") {
		clicks += fact(s, "carom.clicks").GetIntValue()
	}
	if clicks != 5 {
		t.Errorf("the writer's spans have %d clicks, want 5", clicks)
	}
	api := c.named("GET /urls")
	if len(api) != 1 {
		t.Fatalf("%d spans of the API, want 1 and none of /health", len(api))
	}
	if s := api[0]; strings.ToLower(hexOf(s.GetTraceId())) != trace || fact(s, "http.response.status_code").GetIntValue() != 200 || fact(s, "http.route").GetStringValue() != "/urls" {
		t.Errorf("the API's span is %v, want it in the caller's trace", s)
	}
	if c.resource["service.name"] != "carom" || c.resource["deployment.environment.name"] != "test" || c.resource["service.instance.id"] == "" {
		t.Errorf("the resource is %v", c.resource)
	}
	if !strings.Contains(r.rest, `"trace_id":"`+trace+`"`) {
		t.Errorf("the log does not name the caller's trace: %s", r.rest)
	}
	for _, s := range c.spans {
		for _, private := range []string{testKey, "127.0.0.1", "a.example"} {
			if strings.Contains(s.String(), private) {
				t.Errorf("span %v has %s in it", s, private)
			}
		}
	}
}

func hexOf(b []byte) string {
	const digits = "0123456789abcdef"
	var s strings.Builder
	for _, c := range b {
		s.WriteByte(digits[c>>4])
		s.WriteByte(digits[c&15])
	}
	return s.String()
}

func TestTracingByItsVariables(t *testing.T) {
	const endpoint, traces = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
	for _, tt := range []struct {
		environ map[string]string
		on      bool
		wrong   string
	}{
		{map[string]string{}, false, ""},
		{map[string]string{"OTEL_SERVICE_NAME": "carom"}, false, ""},
		{map[string]string{endpoint: "http://c:4318"}, true, ""},
		{map[string]string{traces: "http://c:4318/v1/traces"}, true, ""},
		{map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, true, ""},
		{map[string]string{endpoint: "http://c:4318", "OTEL_TRACES_EXPORTER": "none"}, false, ""},
		{map[string]string{endpoint: "http://c:4318", "OTEL_SDK_DISABLED": "TRUE"}, false, ""},
		{map[string]string{endpoint: "http://c:4318", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, true, ""},
		{map[string]string{endpoint: "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, false, "OTEL_EXPORTER_OTLP_PROTOCOL"},
		{map[string]string{"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, false, ""},
		{map[string]string{"OTEL_TRACES_EXPORTER": "zipkin"}, false, "OTEL_TRACES_EXPORTER"},
	} {
		on, err := tracing(func(name string) string { return tt.environ[name] })
		if on != tt.on || (err != nil) != (tt.wrong != "") || err != nil && !strings.Contains(err.Error(), tt.wrong) {
			t.Errorf("%v: traces are sent: %v, %v; want %v, %q", tt.environ, on, err, tt.on, tt.wrong)
		}
	}
	r := invocation{ended: true, environ: []string{"OTEL_TRACES_EXPORTER=zipkin"}}.run(t, serveArgs(t.TempDir())...)
	refuse(t, r, exitUsage, "OTEL_TRACES_EXPORTER", "otlp or none")
}
