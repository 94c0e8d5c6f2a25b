package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/alecthomas/kong"

	"github.com/carom-dev/carom/cmd/carom/internal/setting"
)

// checkCommand judges the settings and shows them.
type checkCommand struct {
	Settings
	Table bool `hidden:"" help:"Print the settings as the README's table."`
}

// Run prints each setting with its value and its origin, or fails with what is wrong.
func (c *checkCommand) Run(t *terminal, parsed *kong.Context) error {
	if c.Table {
		return writeSettingsTable(t.out, parsed.Model)
	}
	if err := c.Validate(); err != nil {
		return err
	}
	given := map[string]bool{}
	for _, p := range parsed.Path {
		if p.Flag != nil && !p.Resolved {
			given[p.Flag.Name] = true
		}
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	for _, flag := range settingFlags(parsed.Model) {
		origin := cmp.Or(t.env.Origin(flag.Name), "default")
		if given[flag.Name] {
			origin = "--" + flag.Name
		}
		value := fmt.Sprint(flag.Target.Interface())
		if value == "" {
			value = "-"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", flag.Name, value, origin)
	}
	return w.Flush()
}

// settingFlags are the flags of check-config that are settings, in the order of the struct.
func settingFlags(model *kong.Application) []*kong.Flag {
	var flags []*kong.Flag
	for _, command := range model.Children {
		if command.Name != "check-config" {
			continue
		}
		for _, flag := range command.Flags {
			if setting.VariableOf(flag) != "" {
				flags = append(flags, flag)
			}
		}
	}
	return flags
}

// writeSettingsTable writes the table of settings as the README has it.
func writeSettingsTable(w io.Writer, model *kong.Application) error {
	var b strings.Builder
	b.WriteString("| flag | variable | default | meaning |\n| --- | --- | --- | --- |\n")
	group := ""
	for _, flag := range settingFlags(model) {
		if flag.Group.Title != group {
			group = flag.Group.Title
			fmt.Fprintf(&b, "| **%s** | | | |\n", group)
		}
		variable := "`" + setting.VariableOf(flag) + "`"
		if setting.IsSecret(flag) {
			variable += ", `_FILE`"
		}
		value := "unset"
		switch {
		case flag.Default != "":
			value = "`" + flag.Default + "`"
		case flag.IsBool():
			value = "`false`"
		}
		fmt.Fprintf(&b, "| `--%s` | %s | %s | %s |\n", flag.Name, variable, value, strings.ReplaceAll(flag.Help, "|", `\|`))
	}
	_, err := io.WriteString(w, b.String())
	return err
}
