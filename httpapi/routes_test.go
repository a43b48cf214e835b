package httpapi

import (
	"slices"
	"testing"
)

func TestRouteTable(t *testing.T) {
	var got []string
	for _, r := range (&server{Config: Config{Path: "/v1/key"}}).routes() {
		got = append(got, r.method+" "+r.path)
	}
	if want := []string{"POST /v1/key", "GET /openapi.yaml"}; !slices.Equal(got, want) {
		t.Errorf("routes are %q, want %q", got, want)
	}
}
