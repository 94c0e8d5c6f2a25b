package check

import (
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

// composed is docker-compose.yml as Compose reads it, with the services that only a profile starts.
func composed(t *testing.T) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{filepath.Join(root, "docker-compose.yml")},
		cli.WithWorkingDirectory(root), cli.WithName("carom"), cli.WithProfiles([]string{"*"}))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatalf("docker-compose.yml: %v", err)
	}
	return project
}

// instances are the services that run Carom.
func instances(project *types.Project) types.Services {
	return project.Services.Filter(func(s types.ServiceConfig) bool { return s.Build != nil })
}

// TestComposeServices holds what every service has: an exact image, an end to its use of the machine, a start after a failure, and
// no rights to spare.
func TestComposeServices(t *testing.T) {
	project := composed(t)
	for _, want := range []string{"carom-1", "carom-2", "carom-3", "nginx", "postgres", "redis", "prometheus", "grafana", "pyroscope", "k6"} {
		if _, ok := project.Services[want]; !ok {
			t.Errorf("there is no service %s", want)
		}
	}
	exact := regexp.MustCompile(`:v?\d+\.\d+\.\d+(-[a-z0-9.]+)?@sha256:[0-9a-f]{64}$|:17\.10-alpine3\.24@sha256:[0-9a-f]{64}$`)
	tagged := regexp.MustCompile(`^grafana/pyroscope:\d+\.\d+\.\d+$`) // its reason is in the file
	for name, s := range project.Services {
		if s.Build == nil && !exact.MatchString(s.Image) && !tagged.MatchString(s.Image) {
			t.Errorf("%s has the image %s, which may change under its name", name, s.Image)
		}
		onDemand := len(s.Profiles) > 0
		if !onDemand && (s.Restart != "always" || s.HealthCheck == nil || len(s.HealthCheck.Test) == 0) {
			t.Errorf("%s has restart %q and the health check %v", name, s.Restart, s.HealthCheck)
		}
		if s.Deploy == nil || s.Deploy.Resources.Limits == nil || s.Deploy.Resources.Limits.NanoCPUs == 0 || s.Deploy.Resources.Limits.MemoryBytes == 0 {
			t.Errorf("%s has no limit of CPU and memory", name)
		}
		if !slices.Contains(s.CapDrop, "ALL") || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") || s.Privileged {
			t.Errorf("%s keeps rights: cap_drop %v, security_opt %v", name, s.CapDrop, s.SecurityOpt)
		}
		if s.Logging == nil || s.Logging.Options["max-size"] == "" {
			t.Errorf("%s logs without bound", name)
		}
		for _, v := range s.Volumes {
			if v.Type == types.VolumeTypeBind {
				if _, err := os.Stat(v.Source); err != nil || !v.ReadOnly {
					t.Errorf("%s mounts %s (read-only: %v): %v", name, v.Source, v.ReadOnly, err)
				}
			}
		}
		for variable, value := range s.Environment {
			if value != nil && strings.HasSuffix(variable, "_FILE") && !slices.ContainsFunc(s.Secrets, func(secret types.ServiceSecretConfig) bool {
				return "/run/secrets/"+secret.Source == *value
			}) {
				t.Errorf("%s has %s=%s and no such secret", name, variable, *value)
			}
		}
	}
}

// TestComposePublishes holds that only nginx can be reached from outside.
func TestComposePublishes(t *testing.T) {
	project := composed(t)
	for name, s := range project.Services {
		for _, port := range s.Ports {
			if name == "nginx" && port.Target == 8080 {
				continue
			}
			if addr, err := netip.ParseAddr(port.HostIP); err != nil || !addr.IsLoopback() {
				t.Errorf("%s publishes port %d on %q", name, port.Target, port.HostIP)
			}
		}
	}
	if !project.Networks["back"].Internal {
		t.Error("the network of the stores leads out")
	}
	for _, store := range []string{"postgres", "redis"} {
		networks := project.Services[store].Networks
		if _, ok := networks["back"]; !ok || len(networks) != 1 {
			t.Errorf("%s is in %v", store, networks)
		}
	}
	for name := range instances(project) {
		if len(project.Services[name].Ports) > 0 {
			t.Errorf("%s publishes ports of its own", name)
		}
	}
}

// TestComposeInstances holds that the program takes what the instances are told, that each has a journal of its own, and that
// nginx and they know each other by the same addresses.
func TestComposeInstances(t *testing.T) {
	project := composed(t)
	all := instances(project)
	if len(all) != 3 {
		t.Fatalf("there are %d instances, want 3", len(all))
	}
	nginx := project.Services["nginx"]
	address := nginx.Networks["front"].Ipv4Address
	subnet := netip.MustParsePrefix(project.Networks["front"].Ipam.Config[0].Subnet)
	spare := netip.MustParsePrefix(project.Networks["front"].Ipam.Config[0].IPRange)
	secrets := t.TempDir()
	if out, ok := output(t, nil, filepath.Join(root, "deploy/secrets-make"), secrets); !ok {
		t.Fatal(out)
	}
	journals := map[string]string{}
	for name, s := range all {
		var environ []string
		for variable, value := range s.Environment {
			if value != nil {
				environ = append(environ, variable+"="+strings.Replace(*value, "/run/secrets", secrets, 1))
			}
		}
		judged(t, environ)

		if trusted := *s.Environment["CAROM_TRUSTED_PROXIES"]; trusted != address+"/32" {
			t.Errorf("%s believes %s, nginx has %s", name, trusted, address)
		}
		own := netip.MustParseAddr(s.Networks["front"].Ipv4Address)
		if !subnet.Contains(own) || spare.Contains(own) || !slices.Contains(nginx.ExtraHosts[name], own.String()) {
			t.Errorf("%s has the address %s of %s, nginx thinks %v", name, own, subnet, nginx.ExtraHosts[name])
		}
		if !strings.Contains(text(t, "deploy/nginx/nginx.conf"), "server "+name+":8080 ") || !strings.Contains(text(t, "deploy/haproxy/haproxy.cfg"), "server "+name+" "+name+":8080\n") {
			t.Errorf("a proxy does not know %s", name)
		}
		for _, v := range s.Volumes {
			if other, taken := journals[v.Source]; taken || v.Type != types.VolumeTypeVolume || v.Target != "/var/lib/carom" {
				t.Errorf("%s and %s have the volume %s at %s", name, other, v.Source, v.Target)
			}
			journals[v.Source] = name
		}
		drain, err := time.ParseDuration(*s.Environment["CAROM_DRAIN_DELAY"])
		if grace := time.Duration(*s.StopGracePeriod); err != nil || grace < drain+shutdownTimeout {
			t.Errorf("%s is killed after %v, but may drain for %v and %v", name, grace, drain, shutdownTimeout)
		}
	}
	if len(journals) != 3 {
		t.Errorf("the instances have the journals %v", journals)
	}
}

// shutdownTimeout is the default of CAROM_SHUTDOWN_TIMEOUT.
const shutdownTimeout = 30 * time.Second

// TestComposeMonitoring holds that Prometheus asks each instance where it answers, and Grafana finds what it is given.
func TestComposeMonitoring(t *testing.T) {
	project := composed(t)
	for name, s := range instances(project) {
		if want := name + *s.Environment["CAROM_ADMIN_LISTEN"]; !strings.Contains(text(t, "deploy/prometheus/prometheus.yml"), want) {
			t.Errorf("Prometheus does not ask %s", want)
		}
		if address := *s.Environment["PYROSCOPE_SERVER_ADDRESS"]; address != "http://pyroscope:4040" {
			t.Errorf("%s sends profiles to %s", name, address)
		}
	}
	for _, v := range project.Services["grafana"].Volumes {
		if v.Target != "/etc/grafana/dashboards" {
			continue
		}
		providers, err := filepath.Glob(filepath.Join(root, "deploy/grafana/provisioning/dashboards/*.y*ml"))
		if err != nil || len(providers) == 0 || !strings.Contains(text(t, strings.TrimPrefix(providers[0], root+"/")), "path: "+v.Target) {
			t.Errorf("Grafana's providers %v do not look in %s: %v", providers, v.Target, err)
		}
	}
}
