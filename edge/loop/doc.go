// Package loop waits for all connections of a server on a few goroutines, one a processor, and answers there what can be
// answered without waiting: two system calls a request, and no goroutine, buffer or parked reader for a connection that is
// idle. Whatever may have to wait gets a goroutine, for which the connection is an ordinary net.Conn.
package loop
