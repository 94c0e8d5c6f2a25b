package setting

import (
	"math"
	"strconv"
	"strings"
)

// Size is a number of bytes.
type Size int64

type sizeUnit struct {
	name  string
	bytes int64
}

// sizeUnits are largest first, so that the first that divides a size names it shortest.
func sizeUnits() []sizeUnit {
	return []sizeUnit{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}
}

// UnmarshalText reads "64MiB", "1 GiB" or a plain number of bytes. Decimal units are refused, as their meaning differs
// from program to program.
func (s *Size) UnmarshalText(text []byte) error {
	bad := refuse(text, "a number of bytes such as 67108864, 64MiB or 1GiB")
	number, factor := strings.TrimSpace(string(text)), int64(1)
	for _, u := range sizeUnits() {
		if len(number) > len(u.name) && strings.EqualFold(number[len(number)-len(u.name):], u.name) {
			number, factor = strings.TrimSpace(number[:len(number)-len(u.name)]), u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/factor {
		return bad
	}
	*s = Size(n * factor)
	return nil
}

func (s Size) String() string {
	for _, u := range sizeUnits() {
		if u.bytes > 1 && s != 0 && int64(s)%u.bytes == 0 {
			return strconv.FormatInt(int64(s)/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}
