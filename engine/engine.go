// Package engine holds what stays true if HTTP, the actor library and the databases all changed: links, codes, targets,
// clicks, shard routing, the rules that decide an answer, error codes, and the interfaces the other rooms speak.
//
// It does no I/O, starts no goroutine, logs nothing and has no clock: whoever calls passes the time in.
package engine
