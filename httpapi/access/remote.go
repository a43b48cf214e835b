package access

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"keyhint/httpapi/loopback"

	"golang.org/x/time/rate"
)

// How a key set behind a URL is kept.
const (
	refreshInterval = 15 * time.Minute // with jitter, so that replicas do not ask as one
	firstRetry      = time.Second      // doubled at each failure
	lastRetry       = time.Minute
	refetchInterval = time.Minute // at most one fetch for unknown kids
	fetchTimeout    = 5 * time.Second
	maxKeySetSize   = 1 << 20 // bytes
)

// remoteKeySet is a JWKS behind a URL. The last good one stays in force for as
// long as no better one is to be had.
type remoteKeySet struct {
	url     string
	name    string // url without a query, for people
	client  *http.Client
	log     *slog.Logger
	changed func()        // called after another set came into force
	unknown *rate.Limiter // of fetches for unknown kids
	fetch   sync.Mutex    // one at a time
	state   atomic.Pointer[remoteState]
}

type remoteState struct {
	keys    []Key
	raw     []byte    // what keys were parsed from
	fetched time.Time // the last success
	failing time.Time // since when fetching fails; zero while it does not
	cause   error
}

func newRemoteKeySet(address string, log *slog.Logger, changed func()) (*remoteKeySet, error) {
	if err := checkURL(address); err != nil {
		return nil, fmt.Errorf("auth.jwt.keys: a URL is %w", err) // which may hold a password
	}
	r := &remoteKeySet{
		url: address, name: strings.SplitN(address, "?", 2)[0], log: log, changed: changed,
		unknown: rate.NewLimiter(rate.Every(refetchInterval), 1),
		client: &http.Client{
			Timeout:       fetchTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	r.state.Store(&remoteState{cause: errors.New("not fetched yet")})
	return r, nil
}

// checkURL accepts https, and http where nobody can listen in or answer instead.
func checkURL(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return errors.New("not one that can be fetched: write https://host/path, without a user name")
	}
	if u.Scheme != "https" && !(u.Scheme == "http" && loopback.IsHost(u.Hostname())) {
		return errors.New("neither https:// nor http:// on a loopback address: keys that others can replace on the way are worth nothing")
	}
	return nil
}

// KeySetStatus says how fetching a key set goes.
type KeySetStatus struct {
	Fetched      time.Time // the last success; zero if there was none
	FailingSince time.Time // the first failure after it; zero if there was none
}

// KeySet is a JWKS behind a URL that tokens are verified with.
type KeySet struct {
	URL    string // without a query
	Status func() KeySetStatus
}

// KeySets lists the key sets behind URLs, for metrics.
func (t *Tokens) KeySets() []KeySet {
	var sets []KeySet
	for _, r := range t.remotes {
		sets = append(sets, KeySet{r.name, func() KeySetStatus {
			s := r.state.Load()
			return KeySetStatus{s.fetched, s.failing}
		}})
	}
	return sets
}

func (r *remoteKeySet) keys() []Key { return r.state.Load().keys }

// ready is nil once there has been a good set, whatever has happened since.
func (r *remoteKeySet) ready() error {
	s := r.state.Load()
	if s.fetched.IsZero() {
		return fmt.Errorf("no key set from %s yet: %w", r.name, s.cause)
	}
	return nil
}

// run fetches at once, then at intervals, until ctx is done.
func (r *remoteKeySet) run(ctx context.Context) {
	retry := firstRetry
	for {
		wait := refreshInterval
		if err := r.refresh(ctx); err != nil {
			wait, retry = retry, min(2*retry, lastRetry)
		} else {
			retry = firstRetry
		}
		select {
		case <-time.After(jitter(wait)):
		case <-ctx.Done():
			return
		}
	}
}

// jitter spreads d over 80 to 120 per cent of it.
func jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64()))
}

// refetch is for a token with an unknown kid: perhaps the minter has a new key.
// Whoever comes while a fetch is under way waits for what it brings. It finishes
// even if the request that caused it goes away.
func (r *remoteKeySet) refetch(ctx context.Context) {
	r.fetch.Lock()
	defer r.fetch.Unlock()
	if r.unknown.Allow() {
		r.update(context.WithoutCancel(ctx))
	}
}

// refresh fetches the key set whatever the limit.
func (r *remoteKeySet) refresh(ctx context.Context) error {
	r.fetch.Lock()
	defer r.fetch.Unlock()
	return r.update(ctx)
}

// update fetches the key set, under the lock, and puts it in force if it is a
// good one.
func (r *remoteKeySet) update(ctx context.Context) error {
	old := r.state.Load()
	raw, err := r.download(ctx)
	if err == nil && bytes.Equal(raw, old.raw) {
		r.succeed(old, &remoteState{keys: old.keys, raw: old.raw})
		return nil
	}
	var keys []Key
	var unfit []error
	if err == nil {
		keys, unfit, err = ParseKeys(raw)
	}
	if err != nil {
		r.fail(old, err)
		return err
	}
	r.succeed(old, &remoteState{keys: keys, raw: raw})
	r.log.Info("a token key set is in force", "url", r.name, "keys", len(keys))
	for _, reason := range unfit {
		r.log.Warn("a key of the token key set is left out", "url", r.name, "cause", reason)
	}
	r.changed()
	return nil
}

func (r *remoteKeySet) succeed(old, state *remoteState) {
	if !old.failing.IsZero() && !old.fetched.IsZero() {
		r.log.Info("the token key set can be fetched again", "url", r.name, "failed_since", old.failing)
	}
	state.fetched = time.Now()
	r.state.Store(state)
}

func (r *remoteKeySet) fail(old *remoteState, cause error) {
	state := *old
	state.cause = cause
	if state.failing.IsZero() {
		state.failing = time.Now()
	}
	r.state.Store(&state)
	if state.fetched.IsZero() {
		r.log.Warn("the token key set cannot be fetched, and there was none before: its tokens are refused", "url", r.name,
			"cause", cause, "failing_since", state.failing)
		return
	}
	r.log.Warn("the token key set cannot be fetched; the last good one stays in force", "url", r.name,
		"cause", cause, "failing_since", state.failing, "last_good", state.fetched)
}

func (r *remoteKeySet) download(ctx context.Context) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/jwk-set+json, application/json")
	response, err := r.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the answer is %s", response.Status)
	}
	raw, err := io.ReadAll(io.LimitReader(response.Body, maxKeySetSize+1))
	if err == nil && len(raw) > maxKeySetSize {
		err = fmt.Errorf("the answer is over %d bytes long", maxKeySetSize)
	}
	return raw, err
}
