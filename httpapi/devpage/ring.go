package devpage

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"keyhint/config"
	"keyhint/derive"
)

const (
	maxVersions = 100 // that the page makes, so that no loop fills the disk
	maxBodySize = 1 << 10
	fileWait    = 2 * time.Second // for another editor of the file
)

// ring is the ring in force, and the way to another one, which leads through the
// configuration file: what the page changes there comes into force as any edit
// of the file does. It does not wait for that; the page asks until it sees it.
type ring struct {
	Options
	inForce *config.Config
	log     *slog.Logger
}

// describe answers with the ring in force, without secrets.
func (g ring) describe(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, struct {
		Endpoint string                    `json:"endpoint"` // its path
		File     string                    `json:"file"`
		Ring     config.KeyringDescription `json:"ring"`
	}{g.inForce.Server.Path, g.inForce.File, config.Describe(g.inForce, g.Now())})
}

// addVersion adds an entry that issues at once.
func (g ring) addVersion(w http.ResponseWriter, _ []byte) {
	added, err := config.AddEntry(g.inForce.File, config.AddOptions{MaxVersions: maxVersions, Now: g.Now(), Random: g.Random, Wait: fileWait})
	if errors.Is(err, config.ErrTooManyVersions) {
		refuse(w, http.StatusConflict, `The ring has 100 versions, and the page makes no more. "keyhint keyring add" does.`)
		return
	}
	if err != nil {
		g.fail(w, err)
		return
	}
	answer(w, http.StatusAccepted, map[string]string{"check": added.Check.String()})
}

// setStatus enables or disables the entry with a check value. What cannot be
// undone is not for a page.
func (g ring) setStatus(w http.ResponseWriter, body []byte) {
	var wanted struct {
		Check  string `json:"check"`
		Status string `json:"status"`
	}
	if err := json.Unmarshal(body, &wanted); err != nil {
		refuse(w, http.StatusBadRequest, "The body must be a JSON object with check and status, both strings.")
		return
	}
	status, err := derive.ParseStatus(wanted.Status)
	if err != nil || status != derive.Enabled && status != derive.Disabled {
		refuse(w, http.StatusBadRequest, "status must be enabled or disabled.")
		return
	}
	isWanted := func(e derive.Entry) bool { return e.Check.String() == wanted.Check }
	name, err := config.ParseEntryName(wanted.Check)
	if err != nil || !slices.ContainsFunc(g.inForce.Keyring.Ring.Entries(), isWanted) {
		refuse(w, http.StatusNotFound, "The ring has no entry with this check value.")
		return
	}
	if _, err := config.SetStatus(g.inForce.File, name, status, config.StatusOptions{Now: g.Now(), Wait: fileWait}); err != nil {
		g.fail(w, err)
		return
	}
	answer(w, http.StatusAccepted, map[string]string{"check": wanted.Check})
}

func (g ring) fail(w http.ResponseWriter, err error) {
	g.log.Error("the page could not change the key ring", "config", g.inForce.File, "cause", err)
	refuse(w, http.StatusInternalServerError, "The configuration file could not be changed. The log of keyhint says why.")
}

// protection takes no word for where a request comes from but the browser's.
var protection = http.NewCrossOriginProtection()

// change lets through what this page alone can make a browser send: JSON, which
// other origins would need CORS for, and from this origin. Pages that
// server.cors.origins lists may read keys; they may not change the ring.
func change(do func(w http.ResponseWriter, body []byte)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := protection.Check(r); err != nil {
			refuse(w, http.StatusForbidden, "Only the page itself may do this.")
			return
		}
		if types := r.Header.Values("Content-Type"); len(types) != 1 || types[0] != "application/json" {
			refuse(w, http.StatusUnsupportedMediaType, "Send JSON with Content-Type application/json.")
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBodySize))
		if errors.As(err, new(*http.MaxBytesError)) {
			refuse(w, http.StatusRequestEntityTooLarge, "The body is over 1 KiB.")
			return
		}
		if err != nil {
			refuse(w, http.StatusBadRequest, "The body ended early or came too slowly.")
			return
		}
		do(w, body)
	})
}

// refuse answers with a problem document whose text is fixed.
func refuse(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	write(w, status, struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}{"about:blank", http.StatusText(status), status, detail})
}

func answer(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	write(w, status, value)
}

func write(w http.ResponseWriter, status int, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		panic(err) // there is nothing in it that cannot be encoded
	}
	w.WriteHeader(status)
	w.Write(body)
}
