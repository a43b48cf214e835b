package derive

import "errors"

// Replaces returns nil if the ring may take the place of the running ring old
// without losing a session, and otherwise every reason, joined by errors.Join;
// each is an [*EntryError] about an entry of old (DESIGN section 4, "Replacing
// a running ring").
func (r *Keyring) Replaces(old *Keyring) error {
	var errs []error
	for i := range old.entries {
		was := &old.entries[i]
		refuse := func(field, problem string) {
			errs = append(errs, &EntryError{i, was.Version, field, problem})
		}
		is := r.byID[was.id()]
		switch {
		case was.Version > r.highest:
			refuse("", "has vanished: sessions issued under it would be lost; restore it, or bury it with its check value and status destroyed")
		case is == nil || is.Check != was.Check,
			!is.MasterKey.IsZero() && !was.MasterKey.IsZero() && !(is.MasterKey.Equal(was.MasterKey) && is.SaltKey.Equal(was.SaltKey)):
			refuse("", "no longer stands under its check value, so sessions issued with its secrets would be lost: restore it, and put new secrets under a new version")
		case was.Status == Destroyed && is.Status != Destroyed:
			refuse("status", "is destroyed and stays so: put new secrets under a new version")
		}
	}
	return errors.Join(errs...)
}
