package config

import "time"

// document is the shape of the configuration file: every name that may stand
// in it, and the type of its value (DESIGN section 8).
type document struct {
	Server  serverSection  `mapstructure:"server"`
	Admin   adminSection   `mapstructure:"admin"`
	Auth    authSection    `mapstructure:"auth"`
	Keyring keyringSection `mapstructure:"keyring"`
	Log     logSection     `mapstructure:"log"`
	Audit   auditSection   `mapstructure:"audit"`
	Memory  memorySection  `mapstructure:"memory"`
}

// defaults is what holds where neither the file nor the environment speaks.
func defaults() document {
	return document{
		Server: serverSection{Address: "127.0.0.1:8080", Path: "/v1/key", TLS: tlsSection{MinVersion: "1.3"}},
		Admin:  adminSection{Address: "127.0.0.1:9090"},
		Auth: authSection{
			JWT: jwtSection{
				Leeway:        30 * time.Second,
				DocumentClaim: "https://claims.tiny.cloud/rtc/document",
				RoleClaim:     "https://claims.tiny.cloud/rtc/role",
				IssueRoles:    []string{"editor", "viewer"},
			},
			Forward: forwardSection{Timeout: 3 * time.Second, MaxConcurrent: 100},
		},
		Keyring: keyringSection{ReloadInterval: 30 * time.Second},
		Log:     logSection{Level: "info", Format: "json"},
		Audit:   auditSection{Sink: AuditStdout},
		Memory:  memorySection{Lock: "try"},
	}
}
