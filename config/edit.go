package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"
)

// edit changes the configuration file in its place. It holds the file, which
// must load as it stands, and lets change make the new text together with the
// settings that this text should mean. The file is replaced if the text loads,
// means just that, and may take the place of a running configuration.
//
// The configuration that it returns is the new one. If there is an error besides,
// the file is replaced and may not outlive a loss of power; without a
// configuration nothing is changed.
func edit(path string, wait time.Duration, change func(base *editBase) (text []byte, means document, err error)) (*Config, error) {
	held, err := hold(path, wait)
	if err != nil {
		return nil, err
	}
	defer held.release()

	base := &editBase{heldFile: held}
	if base.config, err = parse(path, held.data, held.info, nil); err != nil {
		return nil, fmt.Errorf("nothing is edited in a file that does not load: %w", err)
	}
	if base.document, err = meaning(held.data); err != nil {
		return nil, err
	}
	text, want, err := change(base)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	defer clear(text)
	next, err := base.check(text, want)
	if err != nil {
		return nil, err
	}
	replaced, err := held.replace(text)
	if !replaced {
		return nil, fmt.Errorf("replacing the configuration: %w", err)
	}
	return next, err
}

// editBase is what an edit begins with.
type editBase struct {
	*heldFile
	config   *Config
	document document
}

// check loads a text as if it stood in the file already.
func (b *editBase) check(text []byte, want document) (*Config, error) {
	if len(text) > maxFileSize {
		return nil, fmt.Errorf("%s would become larger than %d MiB", b.named, maxFileSize>>20)
	}
	next, err := parse(b.named, text, b.info, nil)
	if err != nil {
		return nil, fmt.Errorf("nothing is edited, because the result would not load: %w", err)
	}
	got, err := meaning(text)
	if err != nil {
		return nil, err
	}
	if !reflect.DeepEqual(got, want) {
		return nil, fmt.Errorf("%s: nothing is edited, because more than the entry would change with it: edit the file by hand", b.named)
	}
	if err := next.Replaces(b.config); err != nil {
		return nil, fmt.Errorf("nothing is edited: %w", err)
	}
	return next, nil
}

// meaning is what a text says, with the environment laid over it.
func meaning(text []byte) (document, error) {
	root, problem := parseYAML(text)
	if problem != nil {
		return document{}, errors.New(problem.String())
	}
	means, _, problems := decode(root, nil)
	if len(problems) > 0 {
		return document{}, errors.New(problems[0].String())
	}
	return means, nil
}

// withEntries is the document with other entries in its ring.
func (d document) withEntries(change func(entries []entrySection) []entrySection) document {
	d.Keyring.Keys = change(slices.Clone(d.Keyring.Keys))
	return d
}
