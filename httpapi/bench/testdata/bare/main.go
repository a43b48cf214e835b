// Command bare is what keyhint is measured against: the same framework under the
// same server settings, which decodes the same JSON and answers with a constant
// of the same size. It also stands for the application that keyhint asks in mode
// forward. It prints its address.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"runtime"
	"time"

	"github.com/labstack/echo/v4"
)

// The answer is as long as keyhint's for version 1.
const answer = `{"key":"J5vN6XaGoiIVBJY2GTmvNDwdHvBvMXbBjHEeTMpXsyY","keyHint":"kh1.1-2b1f9d63.019ab1d2-7c40-7d5e-9a51-3f0c6a2e8b17.X2Xk0fGk1hTn7cVd0rJ8vw"}`

func main() {
	e := echo.New()
	e.POST("/v1/key", func(c echo.Context) error {
		var request struct {
			DocumentID string  `json:"documentId"`
			KeyHint    *string `json:"keyHint"`
		}
		if err := json.NewDecoder(c.Request().Body).Decode(&request); err != nil {
			return echo.NewHTTPError(http.StatusBadRequest)
		}
		return c.JSONBlob(http.StatusOK, []byte(answer))
	})
	e.POST("/may-open", func(c echo.Context) error { return c.JSONBlob(http.StatusOK, []byte(`{"allow":true}`)) })
	e.GET("/metrics", func(c echo.Context) error { // in Prometheus' text format, as keyhint's
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return c.String(http.StatusOK, fmt.Sprintf("go_memstats_alloc_bytes_total %d\ngo_memstats_mallocs_total %d\n", m.TotalAlloc, m.Mallocs))
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr())
	server := &http.Server{
		Handler:           e,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
	log.Fatal(server.Serve(listener))
}
