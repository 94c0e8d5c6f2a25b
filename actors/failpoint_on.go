//go:build failpoint

package actors

import (
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/carom-dev/carom/actors/stage"
	"github.com/carom-dev/carom/engine"
)

// chosenStall reads CAROM_FAILPOINT_STALL=code=duration once.
var chosenStall = sync.OnceValues(func() (code string, d time.Duration) {
	code, text, ok := strings.Cut(os.Getenv("CAROM_FAILPOINT_STALL"), "=")
	if !ok {
		return "", 0
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		panic("CAROM_FAILPOINT_STALL: " + err.Error())
	}
	return code, d
})

// stall stops the actor that looks the chosen code up.
func stall(key engine.Key) {
	if code, d := chosenStall(); d > 0 && key.Code == code {
		<-time.After(d)
	}
}

// declareFailpoints names the places in the work of workers at which the stage can be told to panic.
func declareFailpoints(s *stage.Stage, cfg *Config) {
	work := []string{"load", "lease", "give-back", "flush", "salts"}
	if cfg.Changes != nil {
		work = append(work, "poll")
	}
	if cfg.Bus != nil {
		work = append(work, "publish", "listen")
	}
	for _, name := range work {
		s.DeclareFailpoints("worker/"+name+"/before", "worker/"+name+"/behind")
	}
}

// shardKinds are the names of a shard's messages, by kind.
func shardKinds() []string {
	return []string{
		kindLookup: "lookup", kindRefresh: "refresh", kindLoaded: "loaded", kindChanged: "changed", kindLeased: "leased", kindLeaseAgain: "lease-again",
		kindRecalled: "recalled", kindRefund: "refund", kindDistrust: "distrust", kindSweep: "sweep", kindRelease: "release",
	}
}

// FailpointKind and FailpointKinds tell a message's kind apart from the others of its type.
func (m shardMessage) FailpointKind() string { return shardKinds()[m.kind] }

func (shardMessage) FailpointKinds() []string { return shardKinds() }

func (m loaderMessage) FailpointKind() string {
	if m.ended != nil {
		return workerKinds()[m.ended.kind]
	}
	return fieldSet(m)
}

func (m loaderMessage) FailpointKinds() []string {
	return append(fields(m, "ended"), workerKinds()[workerLease], workerKinds()[workerGiveBack])
}

func workerKinds() []string {
	return []string{workerLease: "ended-lease", workerGiveBack: "ended-give-back"}
}

func (m writerMessage) FailpointKind() string { return fieldSet(m) }

func (m writerMessage) FailpointKinds() []string { return fields(m) }

func (m feedMessage) FailpointKind() string {
	if m.bus != nil {
		return busKinds()[m.bus.Kind]
	}
	return fieldSet(m)
}

func (m feedMessage) FailpointKinds() []string {
	return slices.Concat(fields(m, "bus"), slices.DeleteFunc(busKinds(), func(kind string) bool { return kind == "" }))
}

// busKinds are the names of what the bus brings to the feed, by kind. Spending goes past it.
func busKinds() []string {
	return []string{
		engine.BusHeartbeat: "bus-heartbeat", engine.BusChange: "bus-change", engine.BusPoll: "bus-poll", engine.BusAck: "bus-ack",
		engine.BusSubscribed: "bus-subscribed", engine.BusRecall: "bus-recall",
	}
}

// fields are the names of the fields of a message of which exactly one is set, but for some.
func fields(m any, without ...string) []string {
	var names []string
	for i := range reflect.TypeOf(m).NumField() {
		if name := reflect.TypeOf(m).Field(i).Name; !slices.Contains(without, name) {
			names = append(names, name)
		}
	}
	return names
}

// fieldSet is the name of the one that is.
func fieldSet(m any) string {
	for i := range reflect.ValueOf(m).NumField() {
		if !reflect.ValueOf(m).Field(i).IsZero() {
			return reflect.TypeOf(m).Field(i).Name
		}
	}
	panic("BUG: a message without kind")
}
