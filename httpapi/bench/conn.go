package bench

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"syscall"
	"time"
)

const (
	// requestTimeout bounds dialling, and one request with its answer.
	requestTimeout = 10 * time.Second
	// maxBodySize and maxAnswerSize bound an answer without and with its header, in
	// bytes. A right one has below 1,000.
	maxBodySize   = 16 << 10
	maxAnswerSize = 32 << 10
)

// Target is where requests go.
type Target struct {
	URL     *url.URL       // of the endpoint, http or https
	Token   string         // for the Authorization header; empty sends none
	RootCAs *x509.CertPool // for https; nil: the system's
	AnyHost bool           // else connections off the loopback are refused
}

// ErrNotLoopback is the refusal of a [Target] without AnyHost.
var ErrNotLoopback = errors.New("it is not on this machine's loopback")

// Conn is a connection to a target that is kept over many requests, and made
// again if it breaks. It needs far less of a processor than [http.Client], so
// that one core can load another. It is for one goroutine.
type Conn struct {
	ctx     context.Context
	target  *Target
	head    []byte // of each request, up to the value of Content-Length
	request []byte
	body    []byte           // of an answer
	conn    net.Conn         // nil if there is none
	bounded io.LimitedReader // of conn
	reader  *bufio.Reader    // of bounded
	release func() bool      // of what ends conn with ctx
}

// NewConn returns a connection that is made with its first request and ends
// when ctx is done.
func NewConn(ctx context.Context, t *Target) *Conn {
	c := &Conn{ctx: ctx, target: t, body: make([]byte, maxBodySize), reader: bufio.NewReader(nil)}
	c.SetToken(t.Token)
	return c
}

// SetToken changes the token of all later requests; empty sends none.
func (c *Conn) SetToken(token string) {
	c.head = fmt.Appendf(c.head[:0], "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n", c.target.URL.RequestURI(), c.target.URL.Host)
	if token != "" {
		c.head = fmt.Appendf(c.head, "Authorization: Bearer %s\r\n", token)
	}
	c.head = append(c.head, "Content-Length: "...)
}

// Answer is what came back for a request.
type Answer struct {
	Status      int
	ContentType string
	Body        []byte // valid until the connection's next request
}

// Post sends a body and reads the answer, whatever its status. It gives up
// after 10 seconds, follows no redirect and never sends a request twice.
func (c *Conn) Post(body []byte) (Answer, error) {
	if c.conn == nil {
		if err := c.dial(); err != nil {
			return Answer{}, err
		}
	}
	c.conn.SetDeadline(time.Now().Add(requestTimeout))
	answer, keep, err := c.exchange(body)
	if !keep {
		c.Close()
	}
	return answer, err
}

func (c *Conn) exchange(body []byte) (a Answer, keep bool, err error) {
	c.request = strconv.AppendInt(append(c.request[:0], c.head...), int64(len(body)), 10)
	c.request = append(append(c.request, "\r\n\r\n"...), body...)
	if _, err := c.conn.Write(c.request); err != nil {
		return Answer{}, false, err
	}
	c.bounded.N = maxAnswerSize
	response, err := http.ReadResponse(c.reader, nil)
	for err == nil && response.StatusCode < http.StatusOK { // the answer is still to come
		response, err = http.ReadResponse(c.reader, nil)
	}
	if err != nil {
		return Answer{}, false, err
	}
	size := 0
	for {
		n, err := response.Body.Read(c.body[size:])
		size += n
		switch {
		case err == io.EOF:
			return Answer{response.StatusCode, response.Header.Get("Content-Type"), c.body[:size]}, !response.Close, nil
		case err != nil:
			return Answer{}, false, err
		case size == maxBodySize:
			return Answer{}, false, fmt.Errorf("the answer's body is %d bytes long or longer", maxBodySize)
		}
	}
}

func (c *Conn) dial() error {
	dialer := net.Dialer{Timeout: requestTimeout}
	if !c.target.AnyHost {
		dialer.Control = func(_, address string, _ syscall.RawConn) error {
			if peer, err := netip.ParseAddrPort(address); err != nil || !peer.Addr().Unmap().IsLoopback() {
				return ErrNotLoopback
			}
			return nil
		}
	}
	host, port := c.target.URL.Hostname(), c.target.URL.Port()
	if port == "" {
		port = c.target.URL.Scheme
	}
	conn, err := dialer.DialContext(c.ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return err
	}
	if c.target.URL.Scheme == "https" {
		secure := tls.Client(conn, &tls.Config{RootCAs: c.target.RootCAs, ServerName: host, MinVersion: tls.VersionTLS12})
		conn.SetDeadline(time.Now().Add(requestTimeout))
		if err := secure.HandshakeContext(c.ctx); err != nil {
			conn.Close()
			return err
		}
		conn = secure
	}
	c.conn, c.release = conn, context.AfterFunc(c.ctx, func() { conn.Close() })
	c.bounded.R = conn
	c.reader.Reset(&c.bounded)
	return nil
}

// Close ends the connection.
func (c *Conn) Close() {
	if c.conn != nil {
		c.release()
		c.conn.Close()
		c.conn = nil
	}
}
