package wire

// The places of a traceparent's parts: 2 digits of version, 32 of the trace's id, 16 of the parent's, 2 of flags.
const (
	traceAt     = 3
	traceEnd    = traceAt + 32
	parentAt    = traceEnd + 1
	parentEnd   = parentAt + 16
	flagsAt     = parentEnd + 1
	traceLength = flagsAt + 2
)

// TraceID takes the trace's id out of a W3C traceparent header: 32 hexadecimal digits in lower case. ok is false when it is none,
// also for a version that has not been written yet and is shorter than the first.
func TraceID(traceparent string) (id string, ok bool) {
	if len(traceparent) < traceLength || len(traceparent) > traceLength && (traceparent[:2] == "00" || traceparent[traceLength] != '-') {
		return "", false
	}
	if traceparent[:2] == "ff" || traceparent[traceAt-1] != '-' || traceparent[traceEnd] != '-' || traceparent[parentEnd] != '-' {
		return "", false
	}
	if !hexDigits(traceparent[:2]) || !hexDigits(traceparent[flagsAt:traceLength]) {
		return "", false
	}
	id, parent := traceparent[traceAt:traceEnd], traceparent[parentAt:parentEnd]
	if !hexDigits(id) || !hexDigits(parent) || zeros(id) || zeros(parent) {
		return "", false
	}
	return id, true
}

func hexDigits(s string) bool {
	for i := range len(s) {
		if (s[i] < '0' || s[i] > '9') && (s[i] < 'a' || s[i] > 'f') {
			return false
		}
	}
	return true
}

func zeros(s string) bool {
	for i := range len(s) {
		if s[i] != '0' {
			return false
		}
	}
	return true
}
