package ratelimit

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Limit is how many events a key may have in a time. The zero Limit is none.
//
// All of them may come at once: after a quiet time, 600/m lets 600 events pass
// in one burst, and then ten more a second. So 20/s and 1200/m are the same in
// the long run, and the unit chooses how uneven a client may be. The most that
// passes in any one period is twice the events, if a burst was saved up.
type Limit struct {
	Events int
	Per    time.Duration
}

// maxEvents bounds a limit. A larger one limits nothing on a single machine, and
// is more likely a slip.
const maxEvents = 1_000_000

var (
	errForm  = errors.New(`is not a rate limit: write a number and s, m or h, such as "20/s", "600/m" or "1000/h", or "" for no limit`)
	errZero  = errors.New(`would refuse every request: write "" for no limit, or at least "1/h"`)
	errLarge = fmt.Errorf(`is over %d: write less, or "" for no limit`, maxEvents)
)

// Parse reads a limit such as 20/s, 600/m or 1000/h: a decimal number without
// leading zeros, of 1 to 1000000, for each second, minute or hour. The empty
// text is no limit. Errors are the predicate of a sentence about the text.
func Parse(text string) (Limit, error) {
	if text == "" {
		return Limit{}, nil
	}
	number, unit, _ := strings.Cut(text, "/")
	per, known := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}[unit]
	digits := strings.Trim(number, "0123456789") == ""
	switch {
	case !known || number == "" || !digits:
		return Limit{}, errForm
	case strings.Trim(number, "0") == "":
		return Limit{}, errZero
	case number[0] == '0':
		return Limit{}, fmt.Errorf(`has a leading zero: write "%s/%s"`, strings.TrimLeft(number, "0"), unit)
	}
	events, err := strconv.Atoi(number)
	if err != nil || events > maxEvents {
		return Limit{}, errLarge
	}
	return Limit{events, per}, nil
}
