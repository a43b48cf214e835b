package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/fips140"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"keyhint/derive"
)

// fault is something that is done to a server while ordinary requests go on.
type fault struct {
	name string
	// prepare changes what the server is started with; may be nil.
	prepare func(*testing.T, *victim)
	// inflict does the harm and undoes it.
	inflict func(*testing.T, *victim)
	// outcomes that ordinary requests may see besides 200 until it is undone.
	outcomes []string
	// maxRSS bounds the server's resident memory meanwhile, in MiB.
	maxRSS int
}

// TestFaults does all sorts of harm to servers and prints what ordinary requests
// saw of it. They must get no wrong answer, none at all only where that is the
// fault, and afterwards everything must be as before.
func TestFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a minute")
	}
	needFiles(t, 12_000)
	binary := buildForTest(t)
	var table bytes.Buffer
	rows := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(rows, "fault\tordinary requests\tother than 200\tp50\tp99\tmax\tRSS before, most, after (MiB)\trecovered")
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) { fmt.Fprintln(rows, suffer(t, f, binary)) })
	}
	rows.Flush()
	t.Logf("what ordinary requests saw\n%s", table.String())
}

// suffer runs one fault and returns its row of the table.
func suffer(t *testing.T, f fault, binary string) string {
	v := newVictim(t, binary)
	if f.prepare != nil {
		f.prepare(t, v)
	}
	v.start(t)
	o := newOrdinary(t, v)
	defer o.stop()
	o.await(t, 100) // so that all that is allocated once is there
	v.allowed.Store(&f.outcomes)
	before := v.usage(t)
	most, sampled := before.rss, make(chan struct{})
	finished := make(chan struct{})
	go func() {
		defer close(sampled)
		for {
			select {
			case <-finished:
				return
			case <-time.After(20 * time.Millisecond):
				most = max(most, rss(v.Process.Pid))
			}
		}
	}()
	o.reset()
	f.inflict(t, v)
	o.catchUp(t)
	seen := o.summary()
	close(finished)
	<-sampled

	// It has recovered when it holds no more than before and answers as before.
	if !within(func() bool {
		now := v.usage(t)
		return now.goroutines <= before.goroutines+20 && now.files <= before.files+20
	}) {
		t.Fatalf("it still holds goroutines or files: %v before, %v now", before, v.usage(t))
	}
	o.await(t, 20)
	if slices.Contains(f.outcomes, hintExpired) {
		o.forget()
	}
	v.allowed.Store(new([]string))
	o.reset()
	o.await(t, 100)
	after := v.usage(t)
	if fips140.Enabled() {
		f.maxRSS += 32 // for what Go measures to have entropy of its own
	}
	if most > f.maxRSS {
		t.Errorf("it took %d MiB; more than %d", most, f.maxRSS)
	}
	recovered := "yes"
	if t.Failed() {
		recovered = "NO"
	}
	return fmt.Sprintf("%s\t%s\t%d, %d, %d\t%s", f.name, seen, before.rss, most, after.rss, recovered)
}

// victim is a server that something is done to.
type victim struct {
	*served
	shell     string // runs before the server, in the shell that becomes it
	env       []string
	program   string
	dir, file string
	config    string // the file's content
	admin     string // base URL of the private listener
	ca        *x509.CertPool
	jumps     func(time.Duration) // moves its clock, if it is a stand-in
	disk      string              // a small file system of its own, if it has one
	host      *host               // the application that it asks, if it does
	allowed   atomic.Pointer[[]string]
}

func newVictim(t *testing.T, binary string) *victim {
	dir := t.TempDir()
	v := &victim{program: binary, dir: dir, file: filepath.Join(dir, "keyhint.yaml")}
	v.allowed.Store(new([]string))
	entries := newEntries(t, 1, mathrand.NewChaCha8([32]byte{1}))
	v.config = fmt.Sprintf(`server:
  address: 127.0.0.1:0
admin:
  address: %s
auth:
  mode: none
keyring:
  keys:
    - {version: 1, master_key: %s, salt_key: %s, check: %s}
`, freeAddress(t), entries[0].MasterKey.Reveal(), entries[0].SaltKey.Reveal(), entries[0].Check)
	return v
}

// set changes a line of the configuration.
func (v *victim) set(t *testing.T, old, new string) {
	t.Helper()
	v.config = replace(t, v.config, old, new)
}

func (v *victim) start(t *testing.T) {
	if err := writeInPlace(v.file, v.config); err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(v.config, "admin:\n  address: ")
	address, _, _ := strings.Cut(rest, "\n")
	v.admin = "http://" + address
	command := exec.Command("sh", "-c", v.shell+`exec "$@"`, "sh", v.program, "serve", "--config", v.file)
	command.Env = v.env
	s, err := launchCommand(t, command)
	if err == nil {
		_, err = s.listens()
	}
	if err != nil {
		t.Fatal(err)
	}
	if v.ca != nil {
		s.url = "https" + strings.TrimPrefix(s.url, "http")
	}
	if v.host != nil {
		s.url = strings.Replace(s.url, "://", "://user:password@", 1) // credentials that the host is shown
	}
	v.served = s
}

// address is that of the public listener.
func (v *victim) address() string {
	u, err := url.Parse(v.url)
	if err != nil {
		panic(err)
	}
	return u.Host
}

// dial opens a connection to the public listener, which the test closes.
func (v *victim) dial(t *testing.T) net.Conn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", v.address(), patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	return conn
}

// within waits for a condition as long as patience lasts, and tells whether it
// has come true.
func within(done func() bool) bool {
	for deadline := time.Now().Add(patience); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

// usage is what a server holds.
type usage struct{ goroutines, files, rss int }

func (v *victim) usage(t *testing.T) usage {
	t.Helper()
	return usage{v.gauge(t, "go_goroutines"), v.gauge(t, "process_open_fds"), rss(v.Process.Pid)}
}

// gauge reads a metric. It opens a connection for it and closes it again, so
// that what it costs is always the same.
func (v *victim) gauge(t *testing.T, name string) int {
	t.Helper()
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(v.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(response.Body); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(text.String()) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			value, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			if err != nil {
				t.Fatal(err)
			}
			return int(value)
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}

// rss is the resident memory of a process in MiB, or 0 if it cannot be told.
func rss(pid int) int {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	number, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	kib, _ := strconv.Atoi(number)
	return kib >> 10
}

// ordinary is clients that go about their work at a steady rate: they issue, and
// resolve what was issued. Requests are due whether or not answers are late.
type ordinary struct {
	victim *victim
	client *http.Client
	due    chan time.Time
	end    chan struct{}
	all    sync.WaitGroup

	mutex     sync.Mutex
	sessions  []session
	outcomes  map[string]int
	latencies []time.Duration
}

const (
	ordinaryRate    = 200 // requests a second
	ordinaryClients = 8
)

func newOrdinary(t *testing.T, v *victim) *ordinary {
	o := &ordinary{victim: v, end: make(chan struct{}), outcomes: make(map[string]int)}
	o.client = &http.Client{Timeout: patience, Transport: &http.Transport{
		MaxIdleConnsPerHost: ordinaryClients, MaxConnsPerHost: ordinaryClients,
		TLSClientConfig: &tls.Config{RootCAs: v.ca}, ForceAttemptHTTP2: true,
	}}
	o.due = make(chan time.Time, int(2*patience/time.Second)*ordinaryRate)
	o.all.Go(func() {
		defer close(o.due)
		tick := time.NewTicker(time.Second / ordinaryRate)
		defer tick.Stop()
		for {
			select {
			case <-o.end:
				return
			case at := <-tick.C:
				o.due <- at
			}
		}
	})
	for range ordinaryClients {
		o.all.Go(func() {
			for at := range o.due {
				select {
				case <-o.end:
				default:
					o.request(t, at)
				}
			}
		})
	}
	return o
}

// request issues or resolves, and notes how that went.
func (o *ordinary) request(t *testing.T, due time.Time) {
	var earlier session
	o.mutex.Lock()
	if n := len(o.sessions); n > 0 && mathrand.IntN(2) == 0 {
		earlier = o.sessions[mathrand.IntN(n)]
	}
	o.mutex.Unlock()
	s, hint := session{document: fmt.Sprint("document ", mathrand.IntN(1000))}, any(nil)
	if earlier.hint != "" {
		s, hint = earlier, earlier.hint
	}
	outcome, key, got, err := exchange(o.client, o.victim.url, s.document, hint)
	took := time.Since(due)
	if err != nil {
		outcome = "no answer"
	}
	switch {
	case outcome == "200" && hint != nil && (key != earlier.key || got != earlier.hint):
		t.Errorf("%s resolves to another session", earlier.hint)
	case outcome != "200" && !slices.Contains(*o.victim.allowed.Load(), outcome):
		select {
		case <-o.end:
			return
		default:
			t.Errorf("an ordinary request gets %s %v", outcome, err)
		}
	}
	o.mutex.Lock()
	defer o.mutex.Unlock()
	o.outcomes[outcome]++
	o.latencies = append(o.latencies, took)
	if outcome == "200" && hint == nil {
		if _, err := derive.ParseHint(got); err != nil || len(key) != 43 {
			t.Errorf("issues %q, %v", got, err)
		}
		o.sessions = append(o.sessions, session{document: s.document, key: key, hint: got})
	}
}

func (o *ordinary) stop() {
	close(o.end)
	o.all.Wait()
}

// await waits for so many good answers from now on.
func (o *ordinary) await(t *testing.T, n int) {
	t.Helper()
	from := o.good()
	if !within(func() bool { return o.good() >= from+n }) {
		t.Fatalf("%d good answers, and not %d more", from, n)
	}
}

// catchUp waits until no request is late.
func (o *ordinary) catchUp(t *testing.T) {
	t.Helper()
	if !within(func() bool { return len(o.due) == 0 }) {
		t.Fatalf("%d requests are late", len(o.due))
	}
	o.await(t, ordinaryClients)
}

func (o *ordinary) good() int {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	return o.outcomes["200"]
}

func (o *ordinary) reset() {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	o.outcomes, o.latencies = make(map[string]int), nil
}

// forget drops the sessions that there are.
func (o *ordinary) forget() {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	o.sessions = nil
}

// summary is the middle of a row of the table.
func (o *ordinary) summary() string {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	total, others := len(o.latencies), []string{}
	for outcome, n := range o.outcomes {
		if outcome != "200" {
			others = append(others, fmt.Sprintf("%d x %s", n, outcome))
		}
	}
	slices.Sort(others)
	if len(others) == 0 {
		others = []string{"0"}
	}
	slices.Sort(o.latencies)
	at := func(share float64) time.Duration {
		if total == 0 {
			return 0
		}
		return o.latencies[int(share*float64(total-1))].Round(100 * time.Microsecond)
	}
	return fmt.Sprintf("%d\t%s\t%v\t%v\t%v", total, strings.Join(others, ", "), at(0.5), at(0.99), at(1))
}

// needFiles makes sure that this process, and those it starts, may have so many
// files open.
func needFiles(t *testing.T, n uint64) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Max < n {
		skipUnlessRequired(t, fmt.Sprintf("it needs %d open files, and the limit is %d", n, limit.Max))
	}
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
}

// givenAddresses are those that freeAddress has returned: the system soon gives
// a port again that nobody listens on yet.
var givenAddresses sync.Map

// freeAddress is a loopback address that was free a moment ago, and another one
// each time.
func freeAddress(t *testing.T) string {
	t.Helper()
	for {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := listener.Addr().String()
		listener.Close()
		if _, given := givenAddresses.LoadOrStore(address, true); !given {
			return address
		}
	}
}

// endTLS gives the server a certificate for 127.0.0.1.
func endTLS(t *testing.T, v *victim) {
	v.ca = x509.NewCertPool()
	v.ca.AddCert(writeCertificate(t, v.dir))
	v.set(t, "admin:", fmt.Sprintf("  tls: {cert_file: %q, key_file: %q}\nadmin:", filepath.Join(v.dir, "cert.pem"), filepath.Join(v.dir, "key.pem")))
}

// writeCertificate makes cert.pem for 127.0.0.1 and key.pem in a folder.
func writeCertificate(t *testing.T, dir string) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(certificate)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: certificate},
		"key.pem":  {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := writeInPlace(filepath.Join(dir, name), string(pem.EncodeToMemory(block))); err != nil {
			t.Fatal(err)
		}
	}
	return parsed
}

// atOnce runs so many at a time, n in all.
func atOnce(n, workers int, do func(i int)) {
	var all sync.WaitGroup
	var next atomic.Int64
	for range min(n, workers) {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	all.Wait()
}
