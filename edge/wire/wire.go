// Package wire holds what the redirect path and the management API both say and read on the wire: problems, client
// addresses, request ids, header lines and security headers.
package wire
