// Package edge is the bytes on the wire: it listens, answers redirects on a fast path in front of everything else, hands the
// other requests to the management API, and drains.
package edge
