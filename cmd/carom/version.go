package main

import (
	"fmt"
	"runtime/debug"
)

// versionCommand shows what this program is.
type versionCommand struct{}

// Run prints the version.
func (versionCommand) Run(t *terminal) error {
	fmt.Fprintln(t.out, "carom "+buildVersion())
	return nil
}

// build is what the program was built from, as far as the build knew; empty parts are unknown.
type build struct{ version, revision, goVersion string }

// buildOf reads it.
func buildOf() build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return build{}
	}
	b := build{version: info.Main.Version, goVersion: info.GoVersion}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			b.revision = s.Value
		}
	}
	return b
}

// buildVersion is the module's version, the commit and the Go version, as far as the build knew them.
func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "(unknown build)"
	}
	version := info.Main.Version
	if version == "" {
		version = "(devel)"
	}
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	if revision := settings["vcs.revision"]; revision != "" {
		version += " commit " + revision
		if settings["vcs.modified"] == "true" {
			version += " (modified)"
		}
	}
	return fmt.Sprintf("%s %s %s/%s", version, info.GoVersion, settings["GOOS"], settings["GOARCH"])
}
