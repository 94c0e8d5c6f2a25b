package check

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"
)

// judge says what is wrong with the arguments of a program.
type judge func(args []string) error

// flags are those of a command that somebody has looked up, and whether a value follows.
type flags map[string]bool

// parse tells flags from words. With first, everything behind the first word is words, as it is another program's.
func (known flags) parse(args []string, first bool) (given map[string]string, words []string, err error) {
	given = map[string]string{}
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		if arg == "--" {
			return given, append(words, args...), nil
		}
		if !strings.HasPrefix(arg, "-") {
			words = append(words, arg)
			if first {
				return given, append(words, args...), nil
			}
			continue
		}
		name, value, joined := strings.Cut(arg, "=")
		follows, ok := known[name]
		if !ok {
			return nil, nil, fmt.Errorf("nobody has looked up the flag %s", name)
		}
		if follows && !joined {
			if len(args) == 0 {
				return nil, nil, fmt.Errorf("%s has no value", name)
			}
			value, args = args[0], args[1:]
		}
		given[name] = value
	}
	return given, words, nil
}

// inImage judges a command that is run in the image, which has the program and nothing else.
func inImage(t *testing.T, words []string) error {
	const path = "/usr/local/bin/carom"
	if !strings.Contains(text(t, "Dockerfile"), " /out/carom "+path+"\n") {
		return fmt.Errorf("the image has no %s", path)
	}
	if len(words) < 2 || words[0] != path {
		return fmt.Errorf("the image has nothing but %s to run, and no shell", path)
	}
	command := slices.DeleteFunc(slices.Clone(words[1:]), func(word string) bool { return strings.HasPrefix(word, "-") })
	help, ok := output(t, nil, carom, append(command, "--help")...)
	if !ok {
		return fmt.Errorf("carom says: %s", help)
	}
	for _, word := range words[1:] {
		if name, _, _ := strings.Cut(word, "="); strings.HasPrefix(word, "-") && !strings.Contains(help, name) {
			return fmt.Errorf("carom has no flag %s there", name)
		}
	}
	return nil
}

// composeJudge judges what docker is told.
func composeJudge(t *testing.T) judge {
	t.Helper()
	project := composed(t)
	known := map[string]flags{
		"build": {}, "down": {"-v": false}, "exec": {"-T": false}, "kill": {"-s": true}, "logs": {}, "ps": {"-a": false}, "rm": {}, "stop": {},
		"up": {"-d": false, "--wait": false, "--no-deps": false, "--force-recreate": false},
	}
	return func(args []string) error {
		if len(args) < 2 {
			return errors.New("docker does nothing")
		}
		if args[0] == "volume" {
			name, ours := strings.CutPrefix(args[len(args)-1], project.Name+"_")
			if _, ok := project.Volumes[name]; !ok || !ours {
				return fmt.Errorf("there is no volume %s", args[len(args)-1])
			}
			return nil
		}
		command := args[1]
		if known[command] == nil || args[0] != "compose" {
			return fmt.Errorf("nobody has looked up docker %s %s", args[0], command)
		}
		_, words, err := known[command].parse(args[2:], command == "exec")
		if err != nil {
			return err
		}
		services := words
		if command == "exec" {
			services = words[:min(1, len(words))]
		}
		for _, name := range services {
			s, ok := project.Services[name]
			if !ok || command == "build" && s.Build == nil {
				return fmt.Errorf("there is no service %s to %s", name, command)
			}
		}
		if command != "exec" {
			return nil
		}
		if len(words) < 2 {
			return errors.New("it runs nothing")
		}
		if project.Services[words[0]].Build != nil {
			return inImage(t, words[1:])
		}
		if words[0] != "postgres" {
			return fmt.Errorf("nobody has looked at what %s has to run", words[0])
		}
		return inPostgres(words[1:], *project.Services[words[0]].Environment["POSTGRES_USER"], *project.Services[words[0]].Environment["POSTGRES_DB"])
	}
}

// inPostgres judges a command of Postgres' own that is run beside the server. Its databases are named like their users unless it says which.
func inPostgres(words []string, user, database string) error {
	if at := slices.Index(words, "-U"); at < 0 || at+1 == len(words) || words[at+1] != user {
		return fmt.Errorf("the user of Postgres is %s", user)
	}
	named := user
	switch last := words[len(words)-1]; words[0] {
	case "psql":
	case "pg_dump":
		named = last
	case "pg_restore":
		named = strings.TrimPrefix(last, "--dbname=")
	default:
		return fmt.Errorf("nobody has looked at %s", words[0])
	}
	if named != database {
		return fmt.Errorf("the database of Postgres is %s", database)
	}
	return nil
}

// names are the objects that there are, or may be, by their kind.
func (c *cluster) names() map[string][]string {
	all := map[string][]string{
		"statefulset": {c.set.Name}, "hpa": {c.scaler.Name}, "pdb": {c.budget.Name}, "networkpolicy": {c.policy.Name}, "serviceaccount": {c.account.Name},
	}
	for name := range c.services {
		all["service"] = append(all["service"], name)
	}
	for _, v := range c.set.Spec.Template.Spec.Volumes {
		all["secret"] = append(all["secret"], v.Secret.SecretName)
	}
	for n := range int(c.scaler.Spec.MaxReplicas) {
		pod := c.set.Name + "-" + strconv.Itoa(n)
		all["pod"] = append(all["pod"], pod)
		for _, claim := range c.set.Spec.VolumeClaimTemplates {
			all["pvc"] = append(all["pvc"], claim.Name+"-"+pod)
		}
	}
	return all
}

// secretKeys are what the pods take from their Secret.
func (c *cluster) secretKeys() []string {
	var all []string
	for _, v := range c.set.Spec.Template.Spec.Volumes {
		for _, item := range v.Secret.Items {
			all = append(all, item.Key)
		}
	}
	return all
}

// patched judges a patch as the API server would read it.
func (c *cluster) patched(kind, patch string) error {
	switch kind {
	case "statefulset":
		return yaml.UnmarshalStrict([]byte(patch), &appsv1.StatefulSet{})
	case "hpa":
		return yaml.UnmarshalStrict([]byte(patch), &autoscalingv2.HorizontalPodAutoscaler{})
	case "secret":
		var s corev1.Secret
		err := yaml.UnmarshalStrict([]byte(patch), &s)
		for key := range s.StringData {
			if !slices.Contains(c.secretKeys(), key) {
				return fmt.Errorf("the pods take nothing called %s from the Secret", key)
			}
		}
		return err
	}
	return fmt.Errorf("nobody looks at patches of a %s", kind)
}

// object finds what a command is about: KIND/NAME, KIND NAME, or a KIND alone. What is left are the words behind it.
func (c *cluster) object(words []string) (kind string, rest []string, err error) {
	if len(words) == 0 {
		return "", nil, errors.New("it is about nothing")
	}
	kind, name, joined := strings.Cut(words[0], "/")
	rest = words[1:]
	if !joined && len(rest) > 0 {
		name, rest = rest[0], rest[1:]
	}
	kind = strings.TrimSuffix(kind, "s")
	there, ok := c.names()[kind]
	if !ok {
		return "", nil, fmt.Errorf("there is nothing of the kind %s", kind)
	}
	if name != "" && !slices.Contains(there, name) {
		return "", nil, fmt.Errorf("there is no %s %s", kind, name)
	}
	return kind, rest, nil
}

// kubernetesJudge judges what kubectl is told.
func kubernetesJudge(t *testing.T) judge {
	t.Helper()
	c := built(t)
	known := map[string]flags{
		"delete": {}, "describe": {}, "exec": {"-c": true}, "get": {"-l": true, "-o": true}, "logs": {"-c": true, "-f": false}, "patch": {"-p": true},
		"port-forward": {}, "rollout": {"--timeout": true}, "scale": {"--replicas": true}, "wait": {"--for": true, "--timeout": true, "-l": true},
	}
	container := c.set.Spec.Template.Spec.Containers[0]
	return func(args []string) error {
		switch {
		case slices.Equal(args, []string{"apply", "-k", "deploy/kubernetes"}): // it has the namespace itself
			return nil
		case len(args) > 2 && args[0] == "taint" && args[1] == "nodes": // they are in no namespace
			return nil
		case len(args) < 3 || args[0] != "-n" || args[1] != c.set.Namespace:
			return fmt.Errorf("it does not begin with -n %s", c.set.Namespace)
		}
		command := args[2]
		if known[command] == nil {
			return fmt.Errorf("nobody has looked up kubectl %s", command)
		}
		given, words, err := known[command].parse(args[3:], false)
		if err != nil {
			return err
		}
		switch command {
		case "exec", "logs": // of a pod
			words = append([]string{"pod"}, words...)
		case "rollout":
			if len(words) < 2 || !slices.Contains([]string{"restart", "status"}, words[0]) {
				return fmt.Errorf("nobody has looked up kubectl rollout %v", words)
			}
			words = words[1:]
		}
		kind, rest, err := c.object(words)
		if err != nil {
			return err
		}
		if name, ok := given["-c"]; ok && name != container.Name {
			return fmt.Errorf("the pods have no container %s", name)
		}
		if selector, ok := given["-l"]; ok {
			parsed, err := labels.Parse(selector)
			if err != nil {
				return err
			}
			if !parsed.Matches(labels.Set(c.set.Spec.Template.Labels)) {
				return fmt.Errorf("%s selects no pod, their labels are %v", selector, c.set.Spec.Template.Labels)
			}
		}
		if key := regexp.MustCompile(`\.data\.([^}]+)}`).FindStringSubmatch(given["-o"]); key != nil && !slices.Contains(c.secretKeys(), key[1]) {
			return fmt.Errorf("the Secret has no %s", key[1])
		}
		switch command {
		case "patch":
			return c.patched(kind, given["-p"])
		case "exec":
			if !slices.Contains(args, "--") {
				return errors.New("there is no -- before the command")
			}
			return inImage(t, rest)
		case "port-forward":
			for _, port := range rest {
				if !slices.ContainsFunc(container.Ports, func(p corev1.ContainerPort) bool { return strconv.Itoa(int(p.ContainerPort)) == port }) {
					return fmt.Errorf("the pods have no port %s", port)
				}
			}
		}
		return nil
	}
}
