package check

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// cluster is what `kubectl apply -k deploy/kubernetes` would send.
type cluster struct {
	set      *appsv1.StatefulSet
	config   *corev1.ConfigMap
	account  *corev1.ServiceAccount
	services map[string]*corev1.Service
	budget   *policyv1.PodDisruptionBudget
	scaler   *autoscalingv2.HorizontalPodAutoscaler
	policy   *networkingv1.NetworkPolicy
}

// built is the kustomization's result, read as strictly as the API server does: a field that does not exist is an error.
func built(t *testing.T) *cluster {
	t.Helper()
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join(root, "deploy/kubernetes"))
	if err != nil {
		t.Fatalf("build the kustomization: %v", err)
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		appsv1.AddToScheme, autoscalingv2.AddToScheme, corev1.AddToScheme, networkingv1.AddToScheme, policyv1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	strict := json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme, scheme, json.SerializerOptions{Yaml: true, Strict: true})
	c := &cluster{services: map[string]*corev1.Service{}}
	for _, r := range resources.Resources() {
		yaml, err := r.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		object, kind, err := strict.Decode(yaml, nil, nil)
		if err != nil {
			t.Fatalf("%s: %v", r.CurId(), err)
		}
		if r.GetNamespace() != "carom" {
			t.Errorf("%s is in the namespace %q", r.CurId(), r.GetNamespace())
		}
		switch object := object.(type) {
		case *appsv1.StatefulSet:
			c.set = object
		case *corev1.ConfigMap:
			c.config = object
		case *corev1.ServiceAccount:
			c.account = object
		case *corev1.Service:
			c.services[object.Name] = object
		case *policyv1.PodDisruptionBudget:
			c.budget = object
		case *autoscalingv2.HorizontalPodAutoscaler:
			c.scaler = object
		case *networkingv1.NetworkPolicy:
			c.policy = object
		default:
			t.Errorf("nobody looks at %s", kind)
		}
	}
	if c.set == nil || c.config == nil || c.account == nil || len(c.services) != 2 || c.budget == nil || c.scaler == nil || c.policy == nil {
		t.Fatalf("the kustomization makes only %+v", c)
	}
	return c
}

// TestKubernetesRefersToWhatExists holds that selectors meet the pods, and that names lead somewhere.
func TestKubernetesRefersToWhatExists(t *testing.T) {
	c := built(t)
	pod := c.set.Spec.Template
	meets := func(what string, selector *metav1.LabelSelector) {
		s, err := metav1.LabelSelectorAsSelector(selector)
		if err != nil || s.Empty() || !s.Matches(labels.Set(pod.Labels)) {
			t.Errorf("%s selects %v, the pods have %v: %v", what, selector, pod.Labels, err)
		}
	}
	meets("the StatefulSet", c.set.Spec.Selector)
	meets("the disruption budget", c.budget.Spec.Selector)
	meets("the network policy", &c.policy.Spec.PodSelector)
	for _, spread := range pod.Spec.TopologySpreadConstraints {
		meets("the spread over "+spread.TopologyKey, spread.LabelSelector)
	}
	ports := map[string]int32{}
	container := pod.Spec.Containers[0]
	for _, p := range container.Ports {
		ports[p.Name] = p.ContainerPort
	}
	for name, s := range c.services {
		meets("the service "+name, &metav1.LabelSelector{MatchLabels: s.Spec.Selector})
		for _, p := range s.Spec.Ports {
			if ports[p.TargetPort.String()] == 0 {
				t.Errorf("the service %s leads to the port %s, the pods have %v", name, p.TargetPort.String(), ports)
			}
		}
	}
	for _, rule := range c.policy.Spec.Ingress {
		for _, p := range rule.Ports {
			if ports[p.Port.String()] == 0 || len(rule.From) == 0 {
				t.Errorf("the network policy lets %v into the port %s", rule.From, p.Port)
			}
		}
	}
	if governing := c.services[c.set.Spec.ServiceName]; governing == nil || governing.Spec.ClusterIP != corev1.ClusterIPNone {
		t.Errorf("the StatefulSet's service %q is none without an address of its own", c.set.Spec.ServiceName)
	}
	if c.scaler.Spec.ScaleTargetRef.Kind != "StatefulSet" || c.scaler.Spec.ScaleTargetRef.Name != c.set.Name || *c.scaler.Spec.MinReplicas < 2 {
		t.Errorf("the autoscaler scales %+v", c.scaler.Spec.ScaleTargetRef)
	}
	if pod.Spec.ServiceAccountName != c.account.Name || container.EnvFrom[0].ConfigMapRef.Name != c.config.Name {
		t.Errorf("the pods use the account %q and the settings %q", pod.Spec.ServiceAccountName, container.EnvFrom[0].ConfigMapRef.Name)
	}
	if ports["http"] != 8080 || !strings.HasSuffix(c.config.Data["CAROM_ADMIN_LISTEN"], ":9090") || ports["admin"] != 9090 {
		t.Errorf("the container's ports are %v", ports)
	}
}

// TestKubernetesSettings holds that the program takes the settings, and that the volume and the memory are larger than what it is
// allowed to use.
func TestKubernetesSettings(t *testing.T) {
	c := built(t)
	container := c.set.Spec.Template.Spec.Containers[0]
	secrets := t.TempDir()
	if out, ok := output(t, nil, filepath.Join(root, "deploy/secrets-make"), secrets); !ok {
		t.Fatal(out)
	}
	var environ []string
	for name, value := range c.config.Data {
		environ = append(environ, name+"="+value)
	}
	for _, v := range container.Env {
		if v.Name == "REDIS_URL_FILE" { // compose has none: its Redis has no password
			continue
		}
		environ = append(environ, v.Name+"="+strings.Replace(v.Value, "/run/secrets/carom", secrets, 1))
	}
	judged(t, append(environ, "REDIS_URL=rediss://:secret@redis.data:6379/0"))

	// What the pod mounts is what the settings name.
	for _, v := range c.set.Spec.Template.Spec.Volumes {
		for _, item := range v.Secret.Items {
			if !slices.ContainsFunc(container.Env, func(e corev1.EnvVar) bool { return e.Value == "/run/secrets/carom/"+item.Path }) {
				t.Errorf("no setting reads the secret %s", item.Path)
			}
		}
	}
	if !slices.ContainsFunc(container.VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == c.config.Data["CAROM_DATA_DIR"] }) {
		t.Errorf("no volume is mounted at %s", c.config.Data["CAROM_DATA_DIR"])
	}
	if disk := c.set.Spec.VolumeClaimTemplates[0].Spec.Resources.Requests.Storage().Value(); disk < 2*2<<30 {
		t.Errorf("the volume has %d bytes; the journal may take %s, and recovery sets segments aside", disk, c.config.Data["CAROM_JOURNAL_BYTES"])
	}
	if memory := container.Resources.Limits.Memory().Value(); memory < 2<<30 || c.config.Data["CAROM_MEMORY_LIMIT"] != "1536MiB" {
		t.Errorf("the container has %d bytes, the process %s", memory, c.config.Data["CAROM_MEMORY_LIMIT"])
	}
}

// TestKubernetesPods holds that a pod has no rights to spare, is asked for its health, and has the time to drain.
func TestKubernetesPods(t *testing.T) {
	c := built(t)
	pod := c.set.Spec.Template.Spec
	container := pod.Containers[0]
	rights := container.SecurityContext
	if !*pod.SecurityContext.RunAsNonRoot || *pod.SecurityContext.RunAsUser == 0 || !*rights.ReadOnlyRootFilesystem || *rights.AllowPrivilegeEscalation ||
		!slices.Equal(rights.Capabilities.Drop, []corev1.Capability{"ALL"}) || *pod.AutomountServiceAccountToken || *c.account.AutomountServiceAccountToken {
		t.Errorf("the pods have the rights %+v and %+v", pod.SecurityContext, rights)
	}
	if pod.SecurityContext.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Errorf("the pods have the seccomp profile %v", pod.SecurityContext.SeccompProfile)
	}
	for path, probe := range map[string]*corev1.Probe{
		"/health/live": container.LivenessProbe, "/health/ready": container.ReadinessProbe, "/health/live ": container.StartupProbe,
	} {
		if probe == nil || probe.HTTPGet.Path != strings.TrimSpace(path) || probe.HTTPGet.Port.String() != "http" {
			t.Errorf("the probe of %s is %+v", path, probe)
		}
	}
	shutdown, err := time.ParseDuration(c.config.Data["CAROM_SHUTDOWN_TIMEOUT"])
	before := time.Duration(container.Lifecycle.PreStop.Sleep.Seconds) * time.Second
	if grace := time.Duration(*pod.TerminationGracePeriodSeconds) * time.Second; err != nil || before < 2*time.Second || grace < before+shutdown+5*time.Second {
		t.Errorf("a pod is killed after %v, but may wait for %v and drain for %v", grace, before, shutdown)
	}
	if kept := c.set.Spec.PersistentVolumeClaimRetentionPolicy; kept.WhenDeleted != appsv1.RetainPersistentVolumeClaimRetentionPolicyType || kept.WhenScaled != kept.WhenDeleted {
		t.Errorf("the volumes of clicks are dropped: %+v", kept)
	}
	if !strings.Contains(container.Image, ":") || strings.HasSuffix(container.Image, ":latest") {
		t.Errorf("the image is %s", container.Image)
	}
}
