// Package faults proves what Carom promises while Postgres and Redis fail: the real program, on real services, under load.
// CAROM_FAULT_SECONDS says how long each fault lasts. The default keeps the tests short, and lets times pass that a busy machine
// makes too long; with 10 or more, as make faults has it, they are held to what is promised.
package faults
