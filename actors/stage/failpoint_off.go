//go:build !failpoint

package stage

// Failpoint is a named place at which a build with the tag "failpoint" can be told to panic. In any other build it is nothing.
func (s *Stage) Failpoint(string) {}

// DeclareFailpoints names places of Failpoint.
func (s *Stage) DeclareFailpoints(...string) {}

// What follows is that for each message of an actor, and for each event of the library: where it is about to be handled, and has been.

func declareMailbox[M any](*Stage, string, bool) {}

func before[M any](*Stage, string, M) {}

func behind[M any](*Stage, string, M) {}

func settling(*Stage, string, string) {}

func declareEvents(*Stage) {}

func observing(*Stage, any, string) {}
