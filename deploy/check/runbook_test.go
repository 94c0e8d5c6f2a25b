package check

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const runbook = "docs/RUNBOOK.md"

// snippet is a piece of the runbook that tells docker or kubectl something.
type snippet struct {
	text  string
	block bool // else a span of code within the text
}

// snippets are those of a document.
func snippets(document string) []snippet {
	var all []snippet
	tells := regexp.MustCompile(`(?m)\b(docker (compose|volume)|kubectl) `)
	for i, part := range regexp.MustCompile("(?m)^```.*\n").Split(document, -1) {
		if i%2 == 1 {
			if tells.MatchString(part) {
				all = append(all, snippet{part, true})
			}
			continue
		}
		for _, span := range regexp.MustCompile("`([^`\n]+)`").FindAllStringSubmatch(part, -1) {
			if at := tells.FindStringIndex(span[1]); at != nil && at[0] == 0 {
				all = append(all, snippet{span[1], false})
			}
		}
	}
	return all
}

// stub stands for what talks to others. It writes down how it is called, and answers what the commands behind it wait for.
const stub = `#!/bin/sh
printf '%s\0' "$#" "${0##*/}" "$@" >>"$CALLS"
case "$*" in
*.data.*) echo c2VjcmV0 ;;
*.spec.replicas*) echo 3 ;;
*logs*) echo '"database is there"; "store the clicks of the journal"' ;;
esac
`

// calls runs a snippet in a directory with the secrets of Compose and a backup, and returns what docker and kubectl were told.
func calls(t *testing.T, script string) [][]string {
	t.Helper()
	dir, bin := t.TempDir(), t.TempDir()
	for _, name := range []string{"docker", "kubectl", "git", "openssl", "pg_dump", "sleep"} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte(stub), 0o755); err != nil { //nolint:gosec // it is a program
			t.Fatal(err)
		}
	}
	for name, content := range map[string]string{"deploy/secrets-make": text(t, "deploy/secrets-make"), "carom.dump": ""} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o755); err != nil { //nolint:gosec // it is a program
			t.Fatal(err)
		}
	}
	if out, ok := output(t, nil, filepath.Join(dir, "deploy/secrets-make")); !ok {
		t.Fatal(out)
	}
	told := filepath.Join(bin, "calls")
	cmd := exec.CommandContext(t.Context(), need(t, "bash"), "-euo", "pipefail", "-c", script)
	cmd.Dir, cmd.Env = dir, []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "CALLS=" + told}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s has\n%s\nwhich ends with %v:\n%s", runbook, script, err, out)
	}
	content, err := os.ReadFile(told)
	if err != nil {
		t.Fatalf("%s has\n%s\nwhich calls nobody: %v", runbook, script, err)
	}
	var all [][]string
	for words := strings.Split(string(bytes.TrimSuffix(content, []byte{0})), "\x00"); len(words) > 0; {
		count, err := strconv.Atoi(words[0])
		if err != nil || len(words) < count+2 {
			t.Fatalf("the stubs wrote %q: %v", words, err)
		}
		if call := words[1 : count+2]; call[0] == "docker" || call[0] == "kubectl" {
			all = append(all, call)
		}
		words = words[count+2:]
	}
	return all
}

// TestRunbookNamesExist holds that each service, volume, object, label, secret, file and command that the runbook tells docker and kubectl of
// is one of docker-compose.yml, deploy/kubernetes or the program, by running its commands with stubs in the place of both.
func TestRunbookNamesExist(t *testing.T) {
	document := text(t, runbook)
	judges := map[string]judge{"docker": composeJudge(t), "kubectl": kubernetesJudge(t)}
	blocks, told := map[string]int{}, 0
	for _, s := range snippets(document) {
		heard := map[string]bool{}
		for _, call := range calls(t, s.text) {
			told++
			heard[call[0]] = true
			if err := judges[call[0]](call[1:]); err != nil {
				t.Errorf("%s has %q: %v", runbook, strings.Join(call, " "), err)
			}
		}
		for name := range heard {
			if s.block {
				blocks[name]++
			}
		}
	}
	if blocks["docker"] < 3 || blocks["kubectl"] < 3 || told < 40 {
		t.Errorf("%s has blocks %v and %d calls for docker and kubectl, which can't be all", runbook, blocks, told)
	}

	project, admin, secret := composed(t), map[string]bool{}, map[string]bool{}
	for _, s := range project.Secrets {
		secret[filepath.Base(s.File)] = true
	}
	for _, path := range regexp.MustCompile(`\bdeploy/[\w./-]*\w`).FindAllString(document, -1) {
		if name, ok := strings.CutPrefix(path, "deploy/secrets/"); ok && secret[name] || path == "deploy/secrets" {
			continue // not in the repository
		}
		if _, err := os.Stat(filepath.Join(root, path)); err != nil {
			t.Errorf("%s has %s: %v", runbook, path, err)
		}
	}
	for _, s := range instances(project) {
		admin[s.Networks["front"].Ipv4Address+*s.Environment["CAROM_ADMIN_LISTEN"]] = true
	}
	for _, address := range regexp.MustCompile(`\b172\.[\d.]+:\d+`).FindAllString(document, -1) {
		if !admin[address] {
			t.Errorf("%s has %s, where no instance listens", runbook, address)
		}
	}
}

// TestRunbookWrongNamesAreFound holds that the test above would see a mistake.
func TestRunbookWrongNamesAreFound(t *testing.T) {
	judges := map[string]judge{"docker": composeJudge(t), "kubectl": kubernetesJudge(t)}
	for _, wrong := range []string{
		"docker compose stop carom-4",
		"docker compose up -d --wate carom-1",
		"docker compose upp",
		"docker compose build nginx",
		"docker compose exec -T carom-1 sh",
		"docker compose exec -T carom-1 /usr/local/bin/carom keys lisst",
		"docker compose exec -T carom-1 /usr/local/bin/carom keys list --all",
		"docker compose exec -T postgres psql -U postgres",
		"docker compose exec -T postgres pg_dump -U carom postgres",
		"docker compose exec -T postgres pg_restore -U carom --dbname=postgres",
		"docker volume rm carom_journal-4",
		"docker volume rm journal-3",
		"kubectl apply -k deploy/k8s",
		"kubectl get pods",
		"kubectl -n default get pods",
		"kubectl -n carom get deployments",
		"kubectl -n carom rollout restart statefulset/karom",
		"kubectl -n carom rollout restart statefulset karom",
		"kubectl -n carom rollout begin statefulset/carom",
		"kubectl -n carom scale statefulset/carom --replica=3",
		"kubectl -n carom delete pvc journal-carom-0",
		"kubectl -n carom delete pod carom-6",
		"kubectl -n carom logs carom",
		"kubectl -n carom logs carom-0 -c redirects",
		"kubectl -n carom wait --for=delete pod -l app=carom",
		"kubectl -n carom exec carom-0 /usr/local/bin/carom version",
		"kubectl -n carom exec carom-0 -- /bin/carom version",
		"kubectl -n carom exec carom-0 -- sh",
		"kubectl -n carom port-forward pod/carom-0 9091",
		"kubectl -n carom get secret carom -o jsonpath={.data.admin_key}",
		`kubectl -n carom patch secret carom -p {"stringData":{"adminkey":"x"}}`,
		`kubectl -n carom patch hpa carom -p {"spec":{"minReplica":4}}`,
		`kubectl -n carom patch statefulset carom -p {"spec":{"updateStrategy":{"partition":2}}}`,
	} {
		words := strings.Fields(wrong)
		if err := judges[words[0]](words[1:]); err == nil {
			t.Errorf("%q is taken for right", wrong)
		}
	}
	for _, document := range []string{"docker compose stop carom-1", "`systemctl stop carom`", "```sh\ncarom serve\n```\n"} {
		if found := snippets(document); len(found) > 0 {
			t.Errorf("%q has the snippets %+v", document, found)
		}
	}
}
