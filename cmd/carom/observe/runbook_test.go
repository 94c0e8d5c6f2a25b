package observe_test

import (
	"regexp"
	"strings"
	"testing"
)

func TestTheRunbookHasASectionForEachAlert(t *testing.T) {
	headings := strings.ToLower(read(t, "../../../docs/RUNBOOK.md"))
	for _, name := range firsts(alertLine.FindAllStringSubmatch(read(t, alertsFile), -1)) {
		if !regexp.MustCompile(`(?m)^#+ ` + strings.ToLower(name) + `$`).MatchString(headings) {
			t.Errorf("docs/RUNBOOK.md has no section %s", name)
		}
	}
}
