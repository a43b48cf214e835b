package httpapi_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/golang-jwt/jwt/v5"

	"keyhint/httpapi"
	"keyhint/httpapi/access"
	"keyhint/httpapi/cors"
	"keyhint/httpapi/ratelimit"
)

const descriptionPath = "/openapi.yaml"

// Origins of pages; the first is listed with the endpoints under test.
const (
	describedOrigin = "https://app.example.com"
	otherOrigin     = "https://other.example.com"
)

func withDescribedOrigin(t testing.TB) func(*httpapi.Config) {
	policy, err := cors.New([]string{describedOrigin}, true)
	if err != nil {
		t.Fatal(err)
	}
	return func(c *httpapi.Config) { c.CORS = policy }
}

// description is what an endpoint says of itself.
type description struct{ *openapi3.T }

func (e endpoint) description() description {
	e.Helper()
	a := e.do(e.newRequest(http.MethodGet, descriptionPath, nil))
	if got := a.header.Get("Content-Type"); a.status != http.StatusOK || got != "application/yaml" {
		e.Fatalf("the description has status %d and Content-Type %q", a.status, got)
	}
	doc, err := openapi3.NewLoader().LoadFromData(a.body)
	if err != nil {
		e.Fatal(err)
	}
	if err := doc.Validate(e.Context(), openapi3.EnableMultiError()); err != nil {
		e.Fatal(err)
	}
	if doc.OpenAPIMajorMinor() != "3.1" {
		e.Errorf("the description is in OpenAPI %s", doc.OpenAPI)
	}
	return description{doc}
}

func TestDescriptionNamesTheConfiguredPath(t *testing.T) {
	for _, path := range []string{path, "/rtc/encryption-key", "/a", "/v1/key/of/~me"} {
		e := newEndpoint(t, func(c *httpapi.Config) { c.Path = path })
		if got, want := slices.Sorted(maps.Keys(e.description().Paths.Map())), []string{descriptionPath, path}; !slices.Equal(got, slices.Sorted(slices.Values(want))) {
			t.Errorf("the paths are %q, want %q", got, want)
		}
		a := e.do(e.newRequest(http.MethodGet, descriptionPath, nil))
		if others := bytes.Count(a.body, []byte("/v1/key")) - bytes.Count(a.body, []byte(path)); path != "/v1/key" && others > 0 {
			t.Errorf("the description under %s names /v1/key %d times", path, others)
		}
	}
}

// exchange is a request that a described endpoint answers.
type exchange struct {
	name    string
	kind    kind // zero if the answer is no problem
	adjust  []func(*httpapi.Config)
	before  int // requests of the same form before the one that is meant
	request func(e endpoint) *http.Request
}

// exchanges has a request for every status and problem type.
func exchanges(t testing.TB) []exchange {
	var list []exchange
	for _, r := range refusals(t) {
		list = append(list, exchange{r.name, r.kind, r.adjust, 0, r.request})
	}
	m := newMinter(t)
	tokens, err := access.NewTokens(tokenConfig(t, m))
	if err != nil {
		t.Fatal(err)
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	unreachable, err := access.NewForward(access.ForwardConfig{URL: "http://" + closed.Addr().String(), Timeout: 5 * time.Second, MaxConcurrent: 1})
	if err != nil {
		t.Fatal(err)
	}
	guarded := func(control access.Control) []func(*httpapi.Config) {
		return []func(*httpapi.Config){func(c *httpapi.Config) { c.Access = control }}
	}
	limited := func(limit func(*httpapi.Config) **ratelimit.Limiter, control access.Control) []func(*httpapi.Config) {
		return []func(*httpapi.Config){func(c *httpapi.Config) {
			*limit(c) = ratelimit.New(ratelimit.Limit{Events: 1, Per: time.Hour}, 10, time.Now)
			c.Access = control
		}}
	}
	perAddress := func(c *httpapi.Config) **ratelimit.Limiter { return &c.PerAddress }
	perSubject := func(c *httpapi.Config) **ratelimit.Limiter { return &c.PerSubject }
	good := "Bearer " + sign(t, jwt.SigningMethodES256, m.p256, `{"alg":"ES256"}`, claimsWith(nil))
	forRTC := "Bearer " + sign(t, jwt.SigningMethodES256, m.p256, `{"alg":"ES256"}`, claimsWith(map[string]any{"aud": nil}))
	issuing := func(documentID string, header ...string) func(endpoint) *http.Request {
		return func(e endpoint) *http.Request {
			r := postBody(`{"documentId":"` + documentID + `","keyHint":null}`)(e)
			for pair := range slices.Chunk(header, 2) {
				r.Header.Set(pair[0], pair[1])
			}
			return r
		}
	}
	unauthenticated := kind{401, "urn:keyhint:unauthenticated", ""}
	rateLimited := kind{429, "urn:keyhint:rate-limited", "3600"}
	return append(list, []exchange{
		{"issue without a type", kind{}, nil, 0, issuing("doc-1")},
		{"issue as JSON", kind{}, nil, 0, issuing("doc-1", "Content-Type", "application/json")},
		{"issue as JSON in UTF-8", kind{}, nil, 0, issuing("doc-1", "Content-Type", "application/json; charset=UTF-8")},
		{"issue as JSON of another name", kind{}, nil, 0, issuing("doc-1", "Content-Type", "application/vnd.editor+json")},
		{"issue as browsers do", kind{}, nil, 0, issuing("doc-1", "Content-Type", "text/plain;charset=UTF-8")},
		{"issue with a token", kind{}, guarded(tokens), 0, issuing("doc-1", "Authorization", good)},
		{"resolve", kind{}, nil, 0, func(e endpoint) *http.Request { return resolving(e.issue(canary).KeyHint)(e) }},
		{"ignored members and an id of 1024 bytes", kind{}, nil, 0, postBody(`{"x":[1],"documentId":"` + strings.Repeat("x", 1024) + `","keyHint":null}`)},
		{"the description", kind{}, nil, 0, send(http.MethodGet, descriptionPath)},
		{"a preflight", kind{}, nil, 0, send(http.MethodOptions, path)},
		{"a preflight of the description", kind{}, nil, 0, send(http.MethodOptions, descriptionPath)},

		{"no credentials", unauthenticated, guarded(tokens), 0, issuing("doc-1")},
		{"the RTC server's token", unauthenticated, guarded(tokens), 0, issuing("doc-1", "Authorization", forRTC)},
		{"another document", accessDenied, guarded(tokens), 0, issuing("doc-2", "Authorization", good)},
		{"too many requests of an address", rateLimited, limited(perAddress, access.Everyone{}), 1, issuing("doc-1")},
		{"too many requests of a subject", rateLimited, limited(perSubject, tokens), 1, issuing("doc-1", "Authorization", good)},
		{"the host application is down", unavailable, guarded(unreachable), 0, issuing("doc-1", "Cookie", "session=1")},
		{"the description, too often", rateLimited, limited(perAddress, access.Everyone{}), 1, send(http.MethodGet, descriptionPath)},
		{"the description for another host", accessDenied, []func(*httpapi.Config){withLoopbackHost}, 0, func(e endpoint) *http.Request {
			r := send(http.MethodGet, descriptionPath)(e)
			r.Host = "keys.example.com"
			return r
		}},
		{"another method for the description", methodNotAllowed, nil, 0, send(http.MethodDelete, descriptionPath)},
	}...)
}

// TestEveryExchangeIsAsDescribed has the endpoint answer in every way that it
// can, to pages and to others, and compares requests and answers with its
// description. Then everything that is described must have happened.
func TestEveryExchangeIsAsDescribed(t *testing.T) {
	seen, types := make(map[string]bool), make(map[string]bool)
	doc := newEndpoint(t).description()
	for _, x := range exchanges(t) {
		for _, origin := range []string{"", describedOrigin, otherOrigin} {
			t.Run(fmt.Sprintf("%s from %q", x.name, origin), func(t *testing.T) {
				e := newEndpoint(t, append(x.adjust, withDescribedOrigin(t))...)
				send := func() (*http.Request, answer) {
					request := x.request(e)
					if origin != "" {
						request.Header.Set("Origin", origin)
					}
					asSent := request.Clone(t.Context())
					if request.GetBody != nil {
						asSent.Body, _ = request.GetBody()
					}
					return asSent, e.do(request)
				}
				for range x.before {
					send()
				}
				request, a := send()
				want := x.kind
				if origin == otherOrigin && request.Header.Get("Cookie") != "" {
					want = accessDenied
				}
				if want != (kind{}) {
					types[a.wants(t, want).Type] = true
				}
				at, err := doc.checkAnswer(request, a)
				if err != nil {
					t.Error(err)
				}
				seen[at] = true
				if origin == describedOrigin {
					doc.checkAllHeaders(t, request, a)
				}
				err = doc.checkRequest(request)
				switch a.status {
				case 404, 405, 413: // no described request; or what only prose describes
				case 400, 415:
					if err == nil {
						t.Errorf("status %d for a request as described", a.status)
					}
				default:
					if err != nil {
						t.Errorf("status %d for a request that is not as described: %v", a.status, err)
					}
				}
			})
		}
	}
	for path, item := range doc.Paths.Map() {
		for method, operation := range item.Operations() {
			for status := range operation.Responses.Map() {
				if at := fmt.Sprintf("%s %s %s", method, path, status); !seen[at] {
					t.Errorf("%s is described and has not happened", at)
				}
			}
		}
	}
	want := typesInCode(t)
	for name, got := range map[string][]string{
		"happened": slices.Sorted(maps.Keys(types)), "are listed in the description": doc.listedTypes(),
		"belong to statuses there": doc.typesOfStatuses(), "have an example there": doc.typesOfExamples(t),
	} {
		if !slices.Equal(got, want) {
			t.Errorf("problem types that %s:\n%q, those in the code are\n%q", name, got, want)
		}
	}
}

// route finds the operation that a request is described by. Those that no
// operation is for are described with the operation of their path, or POST.
func (d description) route(r *http.Request) *routers.Route {
	at := r.URL.Path
	item := d.Paths.Value(at)
	if item == nil {
		at = path
		item = d.Paths.Value(at)
	}
	method := r.Method
	if item.GetOperation(method) == nil {
		if method = http.MethodPost; item.Post == nil {
			method = http.MethodGet
		}
	}
	return &routers.Route{Spec: d.T, Path: at, PathItem: item, Method: method, Operation: item.GetOperation(method)}
}

func (d description) input(r *http.Request) *openapi3filter.RequestValidationInput {
	return &openapi3filter.RequestValidationInput{Request: r, Route: d.route(r), Options: &openapi3filter.Options{
		IncludeResponseStatus: true, RejectWhenRequestBodyNotSpecified: true, MultiError: true,
		AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, // which way there is depends on the configuration
	}}
}

func (d description) checkRequest(r *http.Request) error {
	name, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if name == "text/plain" {
		if err := openapi3filter.ValidateRequest(r.Context(), d.input(r)); err != nil {
			return err
		}
	}
	// The description says in words, because OpenAPI has no other way, that
	// these mean the same.
	if r.Method == http.MethodPost && (name == "" || name == "text/plain" || strings.HasSuffix(name, "+json")) {
		r.Header.Set("Content-Type", "application/json")
	}
	return openapi3filter.ValidateRequest(r.Context(), d.input(r))
}

// checkAnswer tells where an answer is described, and what differs.
func (d description) checkAnswer(r *http.Request, a answer) (at string, err error) {
	in := d.input(r)
	at = fmt.Sprintf("%s %s %d", in.Route.Method, in.Route.Path, a.status)
	out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: a.status, Header: a.header, Options: in.Options}
	if err := openapi3filter.ValidateResponse(r.Context(), out.SetBodyBytes(a.body)); err != nil {
		return at, fmt.Errorf("%s: %w", at, err)
	}
	described := in.Route.Operation.Responses.Status(a.status).Value
	names := []string{"Content-Type", "Content-Length", "Date", "Connection"} // of every HTTP answer
	for name := range described.Headers {
		names = append(names, http.CanonicalHeaderKey(name))
	}
	for name := range a.header {
		if !slices.Contains(names, name) {
			return at, fmt.Errorf("%s: the header %s is not described", at, name)
		}
	}
	if len(described.Content) == 0 && len(a.body) > 0 {
		return at, fmt.Errorf("%s: a body that is not described", at)
	}
	if media := described.Content["application/problem+json"]; media != nil {
		return at, isExample(media, a.body)
	}
	return at, nil
}

// isExample compares a problem with the examples: whole, but for the details
// of malformed requests, of which there are many.
func isExample(media *openapi3.MediaType, body []byte) error {
	var got map[string]any
	if err := json.Unmarshal(body, &got); err != nil {
		return err
	}
	for _, example := range media.Examples {
		want := maps.Clone(example.Value.Value.(map[string]any))
		if want["type"] == malformedRequest.urn {
			want["detail"] = got["detail"]
		}
		if fmt.Sprint(got) == fmt.Sprint(want) {
			return nil
		}
	}
	return fmt.Errorf("the description has no example like %s", body)
}

// checkAllHeaders checks that an answer to a page has all headers of its description.
func (d description) checkAllHeaders(t *testing.T, r *http.Request, a answer) {
	t.Helper()
	for name := range d.route(r).Operation.Responses.Status(a.status).Value.Headers {
		if len(a.header.Values(name)) == 0 {
			t.Errorf("the header %s is described, and the answer %d has none", name, a.status)
		}
	}
}

// typeForm is what a problem type of this service looks like.
var typeForm = regexp.MustCompile(`^(urn:keyhint:[a-z]+(-[a-z]+)*|about:blank)$`)

// typesInCode reads the problem types from the source: every literal that looks
// like one. What it could miss is an error: a problem whose type is not a
// literal, and a literal that a type could be put together from.
func typesInCode(t *testing.T) []string {
	t.Helper()
	found := make(map[string]bool)
	check := func(files *token.FileSet, node ast.Node) bool {
		switch n := node.(type) {
		case *ast.CallExpr:
			if f, ok := n.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "TrimPrefix" {
				return false // makes nothing longer
			}
		case *ast.CompositeLit:
			if name, ok := n.Type.(*ast.Ident); ok && name.Name == "problem" && !hasLiteralType(n) {
				t.Errorf("%s: a problem without a literal as its Type", files.Position(n.Pos()))
			}
		case *ast.BasicLit:
			text, err := strconv.Unquote(n.Value)
			if err == nil && n.Kind == token.STRING && (strings.Contains(text, "urn:") || text == "about:blank") {
				if !typeForm.MatchString(text) {
					t.Errorf("%s: %q is not a whole problem type", files.Position(n.Pos()), text)
				}
				found[text] = true
			}
		}
		return true
	}
	err := filepath.WalkDir(".", func(name string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return err
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, name, nil, parser.SkipObjectResolution)
		if err == nil {
			ast.Inspect(file, func(n ast.Node) bool { return check(files, n) })
		}
		return err
	})
	if err != nil || len(found) < 12 {
		t.Fatalf("%d problem types in the code, %v", len(found), err)
	}
	return slices.Sorted(maps.Keys(found))
}

func hasLiteralType(problem *ast.CompositeLit) bool {
	for _, element := range problem.Elts {
		if pair, ok := element.(*ast.KeyValueExpr); ok && pair.Key.(*ast.Ident).Name == "Type" {
			_, literal := pair.Value.(*ast.BasicLit)
			return literal
		}
	}
	return false
}

func (d description) listedTypes() []string {
	return texts(d.Components.Schemas["Problem"].Value.Properties["type"].Value.Enum)
}

func (d description) typesOfStatuses() []string {
	var found []any
	d.eachProblem(func(_ string, media *openapi3.MediaType) {
		found = append(found, typesAllowed(media)...)
	})
	return texts(found)
}

func (d description) typesOfExamples(t *testing.T) []string {
	var found []any
	d.eachProblem(func(_ string, media *openapi3.MediaType) {
		var here []any
		for _, example := range media.Examples {
			here = append(here, example.Value.Value.(map[string]any)["type"])
		}
		if got, want := texts(here), texts(typesAllowed(media)); !slices.Equal(got, want) {
			t.Errorf("there are examples of %q, want %q", got, want)
		}
		found = append(found, here...)
	})
	return texts(found)
}

// typesAllowed are the values of type that a response is narrowed to.
func typesAllowed(media *openapi3.MediaType) []any {
	narrowed := media.Schema.Value.AllOf[1].Value.Properties["type"].Value
	if narrowed.Const != nil {
		return []any{narrowed.Const}
	}
	return narrowed.Enum
}

func (d description) eachProblem(visit func(status string, media *openapi3.MediaType)) {
	for _, item := range d.Paths.Map() {
		for _, operation := range item.Operations() {
			for status, response := range operation.Responses.Map() {
				if media := response.Value.Content["application/problem+json"]; media != nil {
					visit(status, media)
				}
			}
		}
	}
}

// texts sorts strings and leaves each out but once.
func texts(list []any) []string {
	sorted := make([]string, 0, len(list))
	for _, item := range list {
		sorted = append(sorted, item.(string))
	}
	slices.Sort(sorted)
	return slices.Compact(sorted)
}

func TestReadmeTellsTheDescribedProblems(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var told, described []any
	for _, row := range regexp.MustCompile("(?m)^\\| ([0-9]{3}) \\| `(urn:keyhint:[a-z-]+)` \\|").FindAllStringSubmatch(string(readme), -1) {
		told = append(told, row[1]+" "+row[2])
	}
	newEndpoint(t).description().eachProblem(func(status string, media *openapi3.MediaType) {
		for _, name := range typesAllowed(media) {
			if name != "about:blank" {
				described = append(described, status+" "+name.(string))
			}
		}
	})
	if got, want := texts(told), texts(described); !slices.Equal(got, want) || len(told) != len(got) {
		t.Errorf("README tells\n%q, the description\n%q", got, want)
	}
}

// TestDescriptionTellsWrongAnswers makes sure that the comparison can fail.
func TestDescriptionTellsWrongAnswers(t *testing.T) {
	e := newEndpoint(t, withDescribedOrigin(t))
	doc := e.description()
	request := func() *http.Request { return postBody(`{"documentId":"doc-1","keyHint":null}`)(e) }
	good, problem := e.do(request()), e.ask("doc-1", "x")
	replace := func(a answer, old, new string) answer {
		if !bytes.Contains(a.body, []byte(old)) {
			t.Fatalf("%s does not hold %s", a.body, old)
		}
		a.body = bytes.Replace(a.body, []byte(old), []byte(new), 1)
		return a
	}
	header := func(a answer, name string, values ...string) answer {
		a.header = a.header.Clone()
		if a.header[name] = values; values == nil {
			delete(a.header, name)
		}
		return a
	}
	status := func(a answer, status int) answer { a.status = status; return a }
	for name, a := range map[string]answer{
		"key of another length":     replace(good, `"key":"`, `"key":"A`),
		"key of another name":       replace(good, `"key":`, `"keys":`),
		"hint of another suite":     replace(good, "kh1.", "kh2."),
		"hint null":                 replace(good, `"keyHint":"`, `"keyHint":null,"x":"`),
		"unknown status":            status(good, 201),
		"status of another problem": status(problem, 409),
		"status in the body":        replace(problem, "403", "409"),
		"unknown problem type":      replace(problem, "urn:keyhint:hint-mismatch", "urn:keyhint:hint-mismatched"),
		"other title":               replace(problem, "Hint", "Hints"),
		"member of its own":         replace(problem, "{", `{"documentId":"doc-1",`),
		"no detail":                 replace(problem, `"detail"`, `"details"`),
		"not JSON":                  replace(problem, "}", ""),
		"other content type":        header(problem, "Content-Type", "application/json"),
		"no request id":             header(good, "X-Request-Id"),
		"strange request id":        header(good, "X-Request-Id", "a b"),
		"may be stored":             header(good, "Cache-Control", "max-age=60"),
		"header of its own":         header(good, "Server", "keyhint"),
		"cookie":                    header(good, "Set-Cookie", "a=b"),
	} {
		if _, err := doc.checkAnswer(request(), a); err == nil {
			t.Errorf("%s: passes for described", name)
		}
	}
	for _, a := range []answer{good, problem} {
		if _, err := doc.checkAnswer(request(), a); err != nil {
			t.Error(err)
		}
	}
	for _, body := range []string{"", "{}", "null", `{"documentId":"a"}`, `{"documentId":"","keyHint":null}`, `{"documentId":"a","keyHint":1}`, `{"documentId":null,"keyHint":null}`} {
		if err := doc.checkRequest(postBody(body)(e)); err == nil {
			t.Errorf("the request %s passes for described", body)
		}
	}
}
