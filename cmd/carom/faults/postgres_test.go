package faults_test

import (
	"testing"
	"time"
)

// TestPostgresDown stops the server under load: visitors of links that are in memory notice nothing, the others are asked to come
// again, and every click is stored in the end.
func TestPostgresDown(t *testing.T) {
	pg := ownPostgres(t)
	database := onDatabase(pg.URL("postgres"))
	maker := start(t, t.TempDir(), database)
	hot := shortenMany(t, maker, "hot", 40)
	cold := shortenMany(t, maker, "cold", int((faultTime+4*time.Second)/coldPace)*coldWorkers)
	stop(t, maker)

	i := start(t, t.TempDir(), database) // nothing is in its memory
	for _, code := range hot {
		if a := visited(t, i, code); a.status != 302 {
			t.Fatalf("%s: %d", code, a.status)
		}
	}
	l := startLoad(t)
	l.hot(i, hot)
	l.cold(i, cold)
	l.during("before", time.Second)
	l.enter("stopping")
	pg.Stop()
	l.during("down", faultTime)
	l.enter("starting")
	if err := pg.Start(); err != nil {
		t.Fatal(err)
	}
	waitHealth(t, i, "store", "pass")
	l.during("after", time.Second)
	l.stop()
	l.log()
	l.wantHits()
	l.wantCold()
	if l.count("cold", "before", 302) == 0 || l.count("cold", "down", 503) == 0 || l.count("cold", "down", 302) != 0 || l.count("cold", "after", 302) == 0 {
		t.Error("cold links were not served before, refused during and served after the fault")
	}
	for _, code := range cold[:20] {
		if a := visited(t, i, code); a.status != 302 {
			t.Errorf("%s afterwards: %d, want 302", code, a.status)
		}
	}
	l.wantStoredOnce(i)
	stop(t, i)
}
