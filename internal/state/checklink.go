package state

import (
	"fmt"

	"github.com/mmsync/mmsync/internal/identity"
)

// CheckAccount returns ErrInvalid for an account that cannot be kept; nil is
// well.
func CheckAccount(a *identity.Account) error {
	if a == nil {
		return nil
	}
	if err := checkProfile(a.Profile, a.Roles, a.Auth); err != nil {
		return fmt.Errorf("account %q: %w", a.ID, err)
	}
	return CheckText("account id", a.ID)
}

func checkProfile(p identity.Profile, r identity.Roles, a identity.Auth) error {
	if err := CheckText("profile", p.Username, p.Email, p.FirstName, p.LastName, p.Nickname, p.Position, p.Locale, p.Timezone); err != nil {
		return err
	}
	if err := CheckText("roles", r...); err != nil {
		return err
	}
	return CheckText("auth", a.Service, a.Data)
}

// CheckLink returns ErrInvalid for a link that cannot be kept.
func CheckLink(l *identity.Link) error {
	if err := CheckKey(l.Key); err != nil {
		return err
	}
	if err := checkLinked(l); err != nil {
		return fmt.Errorf("link of %s: %w", fmtKey(l.Key), err)
	}
	return nil
}

func checkLinked(l *identity.Link) error {
	if l.AccountID == "" {
		return fmt.Errorf("account id is empty: %w", ErrInvalid)
	}
	if l.Part != identity.Owner && l.Part != identity.Contributor {
		return fmt.Errorf("part %q is neither owner nor contributor: %w", l.Part, ErrInvalid)
	}
	if err := CheckText("link", l.AccountID, string(l.Origin), l.Ref, l.Applied.Username, l.Applied.MatchKey, l.Applied.Manager, l.Applied.Hash, l.Applied.Picture, l.Applied.PictureRefused); err != nil {
		return err
	}
	for name, v := range l.Applied.Custom {
		if err := CheckText("custom profile attribute", name, v); err != nil {
			return fmt.Errorf("applied: %w", err)
		}
	}
	if err := checkProfile(l.Applied.Profile, l.Applied.Roles, l.Applied.Auth); err != nil {
		return fmt.Errorf("applied: %w", err)
	}
	if err := CheckAccount(l.Observed); err != nil {
		return fmt.Errorf("observed: %w", err)
	}
	return nil
}

// CheckLinks checks each link and the list as a whole: ErrInvalid if a Key is
// in it twice, ErrConflict if two Keys are to own one account.
func CheckLinks(links []identity.Link) error {
	keys := make(map[identity.Key]bool, len(links))
	owners := make(map[string]identity.Key, len(links))
	for i := range links {
		l := &links[i]
		if err := CheckLink(l); err != nil {
			return err
		}
		if keys[l.Key] {
			return fmt.Errorf("%s is in the list twice: %w", fmtKey(l.Key), ErrInvalid)
		}
		keys[l.Key] = true
		if l.Part != identity.Owner {
			continue
		}
		if o, taken := owners[l.AccountID]; taken {
			return secondOwner(l.AccountID, o, l.Key)
		}
		owners[l.AccountID] = l.Key
	}
	return nil
}

// SecondOwner names the first of the links that wants an account which one of
// the stored links, of another Key, owns; nil if there is none. Keys that are
// in links give up what they own in stored.
func SecondOwner(links, stored []identity.Link) error {
	moving := make(map[identity.Key]bool, len(links))
	for i := range links {
		moving[links[i].Key] = true
	}
	owners := make(map[string]identity.Key, len(stored))
	for i := range stored {
		if stored[i].Part == identity.Owner && !moving[stored[i].Key] {
			owners[stored[i].AccountID] = stored[i].Key
		}
	}
	for i := range links {
		if o, taken := owners[links[i].AccountID]; taken && links[i].Part == identity.Owner {
			return secondOwner(links[i].AccountID, o, links[i].Key)
		}
	}
	return nil
}

func secondOwner(account string, owner, second identity.Key) error {
	return fmt.Errorf("account %s belongs to %s and cannot belong to %s as well: %w", account, owner, second, ErrConflict)
}
