// Package e2e tests the real program from outside: built once, started as a child with its data in a temporary directory, spoken to
// over HTTP, asked to end or killed. It imports no room.
package e2e
