package config

import "log/slog"

type logSection struct {
	Level  string `mapstructure:"level"`
	Format string `mapstructure:"format"`
}

// Log says what is logged and how.
type Log struct {
	Level  slog.Level
	Format string // json or text
}

func (v *validation) log(l logSection) Log {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	level, known := levels[l.Level]
	if !known {
		v.refuse("log.level", "is not a level: write debug, info, warn or error")
	}
	if l.Format != "json" && l.Format != "text" {
		v.refuse("log.format", "is not a format: write json or text")
	}
	return Log{Level: level, Format: l.Format}
}
