// Package observe proves what an operator sees of a running Carom: that no secret and no whole address is anywhere, and that the
// dashboards and alerts of deploy/ ask for what the program exports. It runs the real program, on real services.
package observe
