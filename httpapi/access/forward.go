package access

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"keyhint/httpapi/loopback"

	"github.com/go-json-experiment/json"
)

// Forward lets the host application decide, by its own session: it posts
// {"documentId": …, "operation": …} to one fixed URL, with the Cookie and
// Authorization of the caller's request and nothing else of it.
//
//   - 200 with Content-Type application/json (or …+json) and {"allow": true} allows.
//   - 200 with {"allow": false}, and 403, are [ErrDenied]; 401 is [ErrUnauthenticated].
//     A "subject" beside it, a string of 256 bytes at most, names the caller for records.
//   - All else is [ErrUnavailable]: any other status, redirects included, any other
//     body, one over 64 KiB, no whole answer in time, no connection.
//
// Every decision is asked for anew. The host's Set-Cookie does not reach the
// caller, so its answer must not replace the session.
//
// No error repeats a credential, a document id or anything that the host wrote.
// A Forward is safe for any number of goroutines.
type Forward struct {
	url        string
	timeout    time.Duration
	transport  *http.Transport // not a Client: it follows no redirect and keeps no cookie
	slots      chan struct{}   // holds one element for each call in flight
	subjectKey []byte
	observe    func(string, time.Duration)

	mutex        sync.Mutex
	failure      error // of the last call; nil if the host decided
	failingSince time.Time
}

// ForwardConfig is what a [Forward] works with. All fields are required unless
// said otherwise.
type ForwardConfig struct {
	URL           string         // https, or http on loopback; without user name and fragment
	Timeout       time.Duration  // of a decision in total, from waiting for a free slot to the answer's last byte
	RootCAs       *x509.CertPool // that the host's certificate is verified against; nil: the system's
	MaxConcurrent int            // calls in flight; others wait

	// Observe is told the outcome of every decision, one of the Forward
	// constants, and how long it took. It may be nil.
	Observe func(outcome string, took time.Duration)
}

// The outcomes that [ForwardConfig] Observe is told.
const (
	ForwardAllow           = "allow"
	ForwardDeny            = "deny"
	ForwardUnauthenticated = "unauthenticated"
	ForwardUnavailable     = "unavailable"
	ForwardCanceled        = "canceled" // the caller went away first: no fault of the host
)

// ForwardOutcomes lists them all.
func ForwardOutcomes() []string {
	return []string{ForwardAllow, ForwardDeny, ForwardUnauthenticated, ForwardUnavailable, ForwardCanceled}
}

const (
	forwardMaxBody   = 64 << 10 // bytes of the host's answer
	forwardMaxHeader = 64 << 10 // bytes

	forwardMaxSubject = 256 // bytes

	// A connection is given up before the 5 seconds after which Node and Apache
	// close it: a POST on a connection that is just being closed fails, and
	// net/http rightly does not repeat it.
	forwardIdleTimeout = 4 * time.Second
)

// NewForward validates the configuration. It does not call the host.
func NewForward(c ForwardConfig) (*Forward, error) {
	if err := forwardCheckURL(c.URL); err != nil {
		return nil, err
	}
	if c.Timeout <= 0 {
		return nil, errors.New("timeout is not positive")
	}
	if c.MaxConcurrent <= 0 {
		return nil, errors.New("max_concurrent is not positive")
	}
	subjectKey := make([]byte, sha256.Size)
	rand.Read(subjectKey)
	return &Forward{
		url:     c.URL,
		timeout: c.Timeout,
		transport: &http.Transport{
			Proxy: nil, // not even the environment's
			// These two outlive the call they were begun for.
			DialContext:            (&net.Dialer{Timeout: c.Timeout}).DialContext,
			TLSHandshakeTimeout:    c.Timeout,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.RootCAs},
			DisableCompression:     true,
			MaxIdleConnsPerHost:    c.MaxConcurrent,
			IdleConnTimeout:        forwardIdleTimeout,
			MaxResponseHeaderBytes: forwardMaxHeader,
			ForceAttemptHTTP2:      true,
			HTTP2: &http.HTTP2Config{
				MaxReceiveBufferPerStream: 2 * forwardMaxBody,
				// All calls share one connection, so a dead one must be noticed.
				SendPingTimeout: c.Timeout,
				PingTimeout:     c.Timeout,
			},
		},
		slots:      make(chan struct{}, c.MaxConcurrent),
		subjectKey: subjectKey,
		observe:    c.Observe,
	}, nil
}

// forwardCheckURL does not repeat the URL, which may hold a password.
func forwardCheckURL(raw string) error {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Hostname() == "":
		return errors.New("url is not absolute: write it as https://host/path")
	case u.User != nil:
		return errors.New("url holds a user name: remove it")
	case strings.Contains(raw, "#"):
		return errors.New("url has a fragment: remove it")
	case u.Scheme == "https", u.Scheme == "http" && loopback.IsHost(u.Hostname()):
		return nil
	}
	return errors.New("url is neither https nor http on this machine's loopback: callers' credentials are sent to it")
}

// Identify takes the caller's Cookie and Authorization as they are; what they
// are worth, the host says. A request that has neither is refused without asking
// it: there is nothing to decide on. So is one that has one of them twice: keyhint
// and the host must not differ in whose request it is.
func (f *Forward) Identify(r *http.Request) (Caller, error) {
	cookies, authorizations := r.Header.Values("Cookie"), r.Header.Values("Authorization")
	if len(cookies) > 1 || len(authorizations) > 1 {
		return nil, unauthenticated(AmbiguousCredentials, errors.New("more than one Cookie or Authorization header"))
	}
	c := &forwardCaller{forward: f, cookie: strings.Join(cookies, ""), authorization: strings.Join(authorizations, "")}
	if c.cookie == "" && c.authorization == "" {
		return nil, unauthenticated(NoCredentials, errors.New("neither Cookie nor Authorization header"))
	}
	c.subject = f.subject(c.cookie, c.authorization)
	return c, nil
}

// subject is the first 8 bytes of an HMAC over both headers, each after its
// length as 4 bytes, in hex.
func (f *Forward) subject(headers ...string) string {
	mac := hmac.New(sha256.New, f.subjectKey)
	for _, h := range headers {
		mac.Write(binary.BigEndian.AppendUint32(nil, uint32(len(h))))
		mac.Write([]byte(h))
	}
	return hex.EncodeToString(mac.Sum(nil)[:8])
}

// Ready returns nil if the last call got a decision, or none was made yet, and
// otherwise since when and why calls fail.
//
// It is a detail for people and alerts. Whoever decides on readiness should show
// it and go on taking requests: an instance that gets none makes no call and
// would never be ready again; every replica asks the same host, so taking one
// out serves nobody; and a caller who finds a document id that the host answers
// with 500 could take out all of them. Users get a prompt 503 either way, and
// are served again with the first call that succeeds.
func (f *Forward) Ready() error {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if f.failure == nil {
		return nil
	}
	return fmt.Errorf("since %s: %w", f.failingSince.UTC().Format(time.RFC3339), f.failure)
}

// forwardCaller holds credentials. It prints as its subject.
type forwardCaller struct {
	forward               *Forward
	cookie, authorization string // at most one of them is empty
	subject               string
}

// Subject is what the host called the caller, once it has decided and did so.
// Otherwise it is a pseudonym of the credentials, which cannot be turned back. It
// is another one after a restart and in another replica. It does not name a
// person: whoever adds a cookie gets another one, so limits by subject hold honest
// callers only, and need a limit by address beside them.
func (c *forwardCaller) Subject() string { return c.subject }

func (c *forwardCaller) String() string   { return c.subject }
func (c *forwardCaller) GoString() string { return c.subject }

// forwardQuestion is the body that the host gets.
type forwardQuestion struct {
	DocumentID string    `json:"documentId"`
	Operation  Operation `json:"operation"`
}

// MayOpen asks the host. If ctx is canceled first, the error wraps
// [context.Canceled] besides [ErrUnavailable].
func (c *forwardCaller) MayOpen(ctx context.Context, documentID string, operation Operation) error {
	question, err := json.Marshal(forwardQuestion{documentID, operation})
	if err != nil {
		return denied(HostDenied, errors.New("the document id is not UTF-8"))
	}
	start := time.Now()
	bounded, cancel := context.WithTimeout(ctx, c.forward.timeout)
	defer cancel()
	subject, err := c.ask(bounded, question)
	if subject != "" {
		c.subject = subject
	}
	switch {
	case err == nil, errors.Is(err, ErrDenied), errors.Is(err, ErrUnauthenticated):
	case errors.Is(ctx.Err(), context.Canceled):
		err = unavailable(HostUnavailable, fmt.Errorf("the caller went away: %w", context.Canceled))
	case errors.Is(err, errForwardTimeout):
		err = unavailable(HostTimeout, err)
	case errors.Is(err, errForwardBusy):
		err = unavailable(HostBusy, err)
	default:
		err = unavailable(HostUnavailable, err)
	}
	c.forward.settle(err, time.Since(start))
	return err
}

// ask returns the host's name for the caller, if it gives one; and nil, ErrDenied,
// ErrUnauthenticated, or why there is no decision.
func (c *forwardCaller) ask(ctx context.Context, question []byte) (subject string, err error) {
	select {
	case c.forward.slots <- struct{}{}:
		defer func() { <-c.forward.slots }()
	case <-ctx.Done():
		return "", errForwardBusy
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.forward.url, bytes.NewReader(question))
	if err != nil {
		return "", err // not since NewForward parsed the URL
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "keyhint")
	if c.cookie != "" {
		request.Header.Set("Cookie", c.cookie)
	}
	if c.authorization != "" {
		request.Header.Set("Authorization", c.authorization)
	}
	response, err := c.forward.transport.RoundTrip(request)
	if err != nil {
		return "", forwardSymptom(err)
	}
	defer response.Body.Close()
	return forwardVerdict(response)
}

// settle keeps the outcome of a decision for Ready, and tells it to Observe.
func (f *Forward) settle(err error, took time.Duration) {
	f.mutex.Lock()
	outcome := ForwardAllow
	switch {
	case errors.Is(err, context.Canceled): // says nothing about the host
		outcome = ForwardCanceled
	case errors.Is(err, ErrUnavailable):
		outcome = ForwardUnavailable
		if f.failure == nil {
			f.failingSince = time.Now()
		}
		f.failure = err
	case errors.Is(err, ErrUnauthenticated):
		outcome, f.failure = ForwardUnauthenticated, nil
	case errors.Is(err, ErrDenied):
		outcome, f.failure = ForwardDeny, nil
	default:
		f.failure = nil
	}
	f.mutex.Unlock()
	if f.observe != nil {
		f.observe(outcome, took)
	}
}
