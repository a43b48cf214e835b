package ratelimit_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"keyhint/httpapi/ratelimit"
)

func TestParseReadsLimits(t *testing.T) {
	for text, want := range map[string]ratelimit.Limit{
		"":          {},
		"1/s":       {Events: 1, Per: time.Second},
		"20/s":      {Events: 20, Per: time.Second},
		"600/m":     {Events: 600, Per: time.Minute},
		"1000/h":    {Events: 1000, Per: time.Hour},
		"1000000/h": {Events: 1000000, Per: time.Hour},
	} {
		if got, err := ratelimit.Parse(text); err != nil || got != want {
			t.Errorf("%q is %v, %v", text, got, err)
		}
	}
}

func TestParseSaysWhatToWrite(t *testing.T) {
	const form, none = `write a number and s, m or h, such as "20/s"`, `write "" for no limit`
	for text, want := range map[string]string{
		"20": form, "/s": form, "20/": form, "/": form, "20/d": form, "20/S": form, "20/sec": form, "20/1s": form, "20s": form,
		" 20/s": form, "20/s ": form, "20 /s": form, "20/ s": form, "20/s\n": form, "20/s/s": form, "20/m/": form,
		"+20/s": form, "-20/s": form, "2e1/s": form, "0x14/s": form, "1_000/h": form, "1,000/h": form, "20.5/s": form,
		"٢٠/s": form, "unlimited": form, "none": form, "0": form,
		"0/s": none, "000/h": none,
		"020/s": `write "20/s"`, "0000001/m": `write "1/m"`,
		"1000001/s": "is over 1000000", "9223372036854775808/s": "is over 1000000", strings.Repeat("9", 100) + "/h": "is over 1000000",
	} {
		got, err := ratelimit.Parse(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want an error with %s", text, err, want)
		}
		if got != (ratelimit.Limit{}) {
			t.Errorf("%q is refused and gives %v", text, got)
		}
	}
}

func FuzzParseThenFormatIsIdentity(f *testing.F) {
	seeds := []string{"20/s", "600/m", "1000/h", "", "020/s", "1000000/s", "1000001/s", "-1/h", "1/d"}
	if _, err := ratelimit.Parse(seeds[0]); err != nil {
		f.Fatalf("the seeds are of no use: %v", err)
	}
	for _, seed := range seeds {
		f.Add(seed)
	}
	units := map[time.Duration]string{time.Second: "s", time.Minute: "m", time.Hour: "h"}
	grammar := regexp.MustCompile(`^([1-9][0-9]{0,5}|1000000)/[smh]$`)
	f.Fuzz(func(t *testing.T, text string) {
		limit, err := ratelimit.Parse(text)
		if accepted := err == nil; accepted != (text == "" || grammar.MatchString(text)) {
			t.Fatalf("%q: %v", text, err)
		}
		if err != nil || text == "" {
			return
		}
		if got := fmt.Sprintf("%d/%s", limit.Events, units[limit.Per]); got != text {
			t.Errorf("%q formats to %q", text, got)
		}
	})
}
