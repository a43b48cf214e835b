package httpapi

import (
	_ "embed"
	"net/http"

	"github.com/labstack/echo/v4"
)

// openAPI describes the public listener in OpenAPI 3.1, with the endpoint under
// its default path.
//
//go:embed openapi.yaml
var openAPI string

const (
	openAPIPath = "/openapi.yaml"
	defaultPath = "/v1/key" // of the endpoint, as openAPI has it
)

// describe answers GET /openapi.yaml.
func (s *server) describe(c echo.Context) error {
	return c.Blob(http.StatusOK, "application/yaml", s.description)
}
