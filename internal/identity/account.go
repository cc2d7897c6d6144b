package identity

// Account is the actual state of one Mattermost user, as an administrator's
// token sees it. Times are the server's integer milliseconds since 1970.
type Account struct {
	ID string `json:"id"`
	Profile
	Roles    Roles `json:"roles"`
	Auth     Auth  `json:"auth"`
	CreateAt int64 `json:"create_at"`
	// UpdateAt rises with every write and, since 11.x, with every login: it is
	// a watermark, never a change detector.
	UpdateAt int64 `json:"update_at"`
	// DeleteAt is the moment of deactivation; 0 means active. Deactivating
	// again moves it forward.
	DeleteAt int64 `json:"delete_at,omitempty"`
	Bot      bool  `json:"bot,omitempty"`
	// Remote marks a user of another server (shared channels).
	Remote bool `json:"remote,omitempty"`
	// MagicLink marks a guest who logs in by e-mailed link (11.x).
	MagicLink bool `json:"magic_link,omitempty"`
	// PictureAt is when somebody last set the account's picture; 0 while it has the one
	// that the server generates.
	PictureAt int64 `json:"picture_at,omitempty"`
}

// Active tells whether the account can log in.
func (a Account) Active() bool { return a.DeleteAt == 0 }

// HumanAdmin tells whether the account counts as an administrator who can
// still get in: active, a person, holding system_admin.
func (a Account) HumanAdmin() bool {
	return a.Active() && !a.Bot && !a.Remote && a.Roles.Has(RoleAdmin)
}
