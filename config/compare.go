package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"keyhint/derive"
)

// Finding is one reason why a configuration file cannot be used, or cannot take
// the place of another. It never contains a secret or a part of one.
type Finding struct {
	File    string `json:"file"`
	Path    string `json:"path,omitempty"` // of the setting, such as keyring.keys[0].check
	Line    int    `json:"line,omitempty"` // in the file, from 1
	Env     string `json:"env,omitempty"`  // the environment variable that gave the value, if one did
	Problem string `json:"problem"`        // the predicate of a sentence about the setting
}

// String is one line: file, place, setting and problem.
func (f Finding) String() string {
	return f.File + ": " + (&Problem{Path: f.Path, Line: f.Line, Env: f.Env, Text: f.Problem}).String()
}

// Findings are what an error of this package says, for the file that it is about.
func (e *Error) Findings() Findings {
	var findings Findings
	for _, p := range e.Problems {
		findings = append(findings, Finding{e.File, p.Path, p.Line, p.Env, p.Text})
	}
	return findings
}

// Findings are all of them, in the order of the files.
type Findings []Finding

// String is a line for each finding, without a line break behind the last.
func (f Findings) String() string {
	lines := make([]string, len(f))
	for i := range f {
		lines[i] = f[i].String()
	}
	return strings.Join(lines, "\n")
}

// Compare tells whether the configuration in newPath may take the place of the
// one in oldPath in a running process: it finds everything that either would be
// refused for when it is loaded, and every entry that would be lost. It returns
// an empty list if there is nothing, and an error if a file cannot be read.
// Without an oldPath it looks at newPath alone.
//
// With noSecrets it works where the secrets are not, and other files that the
// configurations name: it looks at the shape of the files and, of the ring, at
// versions, check values, statuses and schedules. It reads no secret and knows
// entries by their check values.
//
// A ring that is damaged itself, by a gap for example, is not compared.
func Compare(newPath, oldPath string, noSecrets bool) (Findings, error) {
	is, err := readSide(newPath, noSecrets)
	if err != nil {
		return nil, err
	}
	findings := append(Findings{}, is.findings...) // [] in JSON, if there are none
	if oldPath == "" {
		return findings, nil
	}
	was, err := readSide(oldPath, noSecrets)
	if err != nil {
		return nil, err
	}
	findings = append(findings, was.findings...)
	return append(findings, is.replaces(was)...), nil
}

// side is one of two configurations that are compared.
type side struct {
	path     string
	root     *yaml.Node
	document document
	findings Findings
	config   *Config // nil if it is refused
	outline  *Config // see outline; nil if that is refused
}

func readSide(path string, noSecrets bool) (*side, error) {
	s := &side{path: path}
	data, info, err := readFile(path, maxFileSize)
	if err != nil {
		return s, fmt.Errorf("reading the configuration: %w", err)
	}
	defer clear(data)
	var problem *Problem
	if s.root, problem = parseYAML(data); problem != nil {
		s.note(problem)
		return s, nil
	}
	decoded, elsewhere, problems := decode(s.root, nil)
	s.document = decoded
	v := newValidation(s.root, elsewhere, problems)
	s.outline = v.outline(decoded)
	if noSecrets {
		s.note(v.sorted()...)
		return s, nil
	}
	s.config, err = parse(path, data, info, nil)
	if refusal := (*Error)(nil); errors.As(err, &refusal) {
		s.note(refusal.Problems...)
	}
	return s, nil
}

func (s *side) note(problems ...*Problem) {
	for _, p := range problems {
		s.findings = append(s.findings, Finding{s.path, p.Path, p.Line, p.Env, p.Text})
	}
}

// outline is a configuration with the ring alone, and in this ring every entry
// as a tombstone: numbers and check values, which is what can be known without
// the secrets. What the statuses demand is checked here. It returns nil for a
// ring that is refused.
func (v *validation) outline(d document) *Config {
	readable := make([]bool, len(d.Keyring.Keys))
	for i := range readable {
		readable[i] = !v.refused(entryPath(i))
	}
	buried := d.withEntries(func(entries []entrySection) []entrySection {
		for i := range entries {
			entries[i].MasterKey, entries[i].SaltKey, entries[i].Status = "", "", derive.Destroyed
		}
		return entries
	})
	outline := &Config{Keyring: v.keyring(buried.Keyring)}
	enabled := make(map[uint32]int)
	for i, e := range d.Keyring.Keys {
		if !readable[i] {
			continue
		}
		v.material(i, e, "master_key", e.MasterKey)
		v.material(i, e, "salt_key", e.SaltKey)
		if e.Status != derive.Enabled {
			continue
		}
		if first, taken := enabled[e.Version]; taken {
			v.refuseEntry(i, e.Version, "status", fmt.Sprintf("is enabled, and so is that of keys[%d] with the same version: set one of them to resolve_only", first))
			continue
		}
		enabled[e.Version] = i
	}
	if outline.Keyring.Ring == nil {
		return nil
	}
	return outline
}

func (v *validation) material(i int, e entrySection, field string, source secretSource) {
	switch destroyed := e.Status == derive.Destroyed; {
	case destroyed && source != "":
		v.refuseEntry(i, e.Version, field, "must not be there in a destroyed entry: remove it, or set another status")
	case !destroyed && source == "":
		v.refuseEntry(i, e.Version, field, "is missing: restore it, or, if it is lost for good, set status to destroyed")
	}
}

// replaces finds what would be lost if a process went on with s in place of old.
func (s *side) replaces(old *side) Findings {
	var findings Findings
	switch {
	case s.config != nil && old.config != nil:
		for _, err := range leaves(s.config.Replaces(old.config)) {
			findings = append(findings, s.loss(old, err))
		}
	case s.outline != nil && old.outline != nil:
		for _, err := range leaves(s.outline.Replaces(old.outline)) {
			findings = append(findings, s.loss(old, err))
		}
		for i, was := range old.document.Keyring.Keys {
			is := s.entry(was)
			if is >= 0 && was.Status == derive.Destroyed && s.document.Keyring.Keys[is].Status != derive.Destroyed {
				findings = append(findings, s.loss(old, &derive.EntryError{Index: i, Version: was.Version, Field: "status",
					Problem: "is destroyed and stays so: put new secrets under a new version"}))
			}
		}
	}
	return findings
}

// leaves are the single reasons in an error that wraps or joins them.
func leaves(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []error
		for _, part := range joined.Unwrap() {
			all = append(all, leaves(part)...)
		}
		return all
	}
	if inner := errors.Unwrap(err); inner != nil {
		return leaves(inner)
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

// loss is the finding for one reason of [Config.Replaces]: at the entry's place
// in the new file, if it has one, with its place in the old.
func (s *side) loss(old *side, err error) Finding {
	entry, isEntry := err.(*derive.EntryError)
	if !isEntry {
		path, problem, _ := strings.Cut(err.Error(), " ") // keyring.namespace has changed
		return Finding{File: s.path, Path: path, Line: lineOf(s.root, path), Problem: problem}
	}
	was := old.document.Keyring.Keys[entry.Index]
	path := "keyring.keys"
	if i := s.entry(was); i >= 0 {
		path = join(entryPath(i), entry.Field)
	}
	return Finding{File: s.path, Path: path, Line: lineOf(s.root, path),
		Problem: fmt.Sprintf("(version %d, check value %s, on line %d of %s) %s",
			was.Version, was.Check, lineOf(old.root, entryPath(entry.Index)), old.path, entry.Problem)}
}

// entry is the index of the entry that stands under a check value, or -1.
func (s *side) entry(was entrySection) int {
	return slices.IndexFunc(s.document.Keyring.Keys, func(e entrySection) bool {
		return e.Version == was.Version && e.Check == was.Check
	})
}
