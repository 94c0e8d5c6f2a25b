// Package faults proves what Carom promises while Postgres and Redis fail: the real program, on real services, under load.
// CAROM_FAULT_SECONDS says how long each fault lasts; the default keeps the tests short.
package faults
