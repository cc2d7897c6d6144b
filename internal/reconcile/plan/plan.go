package plan

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/mmsync/mmsync/internal/identity"
)

// Action is the outcome for one Key.
type Action string

// The actions, in the order in which a plan carries them out: leaving wins, and
// it frees seats and ends access before anything else takes time.
const (
	Forget     Action = "forget"     // the link goes, the account stays as it is
	Deactivate Action = "deactivate" // the account is switched off
	Make       Action = "make"       // a team or channel that rules name is made
	Adopt      Action = "adopt"      // an existing account becomes ours
	Update     Action = "update"     // what differs is patched
	Reactivate Action = "reactivate" // an account we switched off comes back
	Create     Action = "create"     // a new account
	Delete     Action = "delete"     // an account of somebody who left is deleted for good; no run does it, see ForGood
	Hold       Action = "hold"       // something should happen but must not yet
	NoOp       Action = "none"       // nothing to do
)

// Actions lists every Action in the order of execution.
func Actions() []Action {
	return []Action{Forget, Deactivate, Make, Adopt, Update, Reactivate, Create, Delete, Hold, NoOp}
}

func (a Action) rank() int {
	order := [...]Action{Forget, Deactivate, Make, Adopt, Update, Reactivate, Create, Delete, Hold, NoOp}
	if i := slices.Index(order[:], a); i >= 0 {
		return i
	}
	return len(order)
}

// OpKind is one kind of API call (or link write).
type OpKind string

// The kinds of Op.
const (
	LinkAccount   OpKind = "link_account"   // no call: the link is written
	UnlinkAccount OpKind = "unlink_account" // no call: the link is removed
	CreateAccount OpKind = "create_account" // POST /users
	PatchProfile  OpKind = "patch_profile"  // PUT /users/{id}/patch
	SetActive     OpKind = "set_active"     // PUT /users/{id}/active
	SetRoles      OpKind = "set_roles"      // PUT /users/{id}/roles
	SetAuth       OpKind = "set_auth"       // PUT /users/{id}/auth
	// Promote makes a full member of a guest, and Demote a guest of a full member,
	// whose other roles go with it. Both change FieldRoles.
	Promote OpKind = "promote" // POST /users/{id}/promote
	Demote  OpKind = "demote"  // POST /users/{id}/demote
	// SetPassword is PUT /users/{id}/password with a random password that nobody
	// knows, the one call that takes an account away from its login service.
	SetPassword OpKind = "set_password"
	// MailReset is POST /users/password/reset/send: the server mails a link by which
	// the person sets a password. It has no changes, for the account shows none.
	MailReset OpKind = "mail_reset"
	// DeleteAccount is DELETE /users/{id}?permanent=true, which nothing takes back. Its
	// change of FieldOffSince names the very switching off after which it is made; the
	// link goes with the account.
	DeleteAccount OpKind = "delete_account"
	// RevokeSessions is POST /users/{id}/sessions/revoke/all. Its change of
	// FieldActive says whether the person goes ("true" to "false": what is left to
	// do where the account cannot be switched off) or only logs in anew.
	RevokeSessions OpKind = "revoke_sessions"
	// DisableToken is POST /users/tokens/disable, and DisableBot POST
	// /bots/{id}/disable. Both are about what an account owns that is off, as
	// their change of FieldActive says, or that the server lets nobody switch off.
	DisableToken OpKind = "disable_token"
	DisableBot   OpKind = "disable_bot"
	// SetPicture is POST /users/{id}/image. Its change names digests of pictures; what
	// is uploaded is read from the source when its turn comes.
	SetPicture OpKind = "set_picture"
	// SetCustom is PATCH /users/{id}/custom_profile_attributes.
	SetCustom OpKind = "set_user_attributes"
	// NotePicture is no call: the link remembers which picture the source has while the
	// account has one that the person set himself.
	NotePicture OpKind = "note_picture"
	// The ops about teams and channels name one space each, by its id and by the field
	// of their only change, which goes from and to "", "member" or "admin".
	JoinTeam        OpKind = "join_team"         // POST /teams/{id}/members
	LeaveTeam       OpKind = "leave_team"        // DELETE /teams/{id}/members/{user}
	SetTeamRoles    OpKind = "set_team_roles"    // PUT /teams/{id}/members/{user}/schemeRoles
	JoinChannel     OpKind = "join_channel"      // POST /channels/{id}/members
	LeaveChannel    OpKind = "leave_channel"     // DELETE /channels/{id}/members/{user}
	SetChannelRoles OpKind = "set_channel_roles" // PUT /channels/{id}/members/{user}/schemeRoles
)

// Calls tells whether an op is a call to Mattermost, and not a change of the link alone.
func (k OpKind) Calls() bool {
	return k != LinkAccount && k != UnlinkAccount && k != NotePicture
}

// Field names what a Change changes: an identity.Attribute or one of the
// constants below.
type Field string

// Fields that are not profile attributes.
const (
	FieldRoles       Field = "roles"
	FieldAuthService Field = "auth_service"
	FieldAuthData    Field = "auth_data"
	FieldActive      Field = "active"
	// FieldOffSince is the server's delete_at of an account that is off, in its
	// milliseconds.
	FieldOffSince Field = "off_since"
	// FieldMatchKey is by what a source knows a person again who has a new id; no
	// call changes it.
	FieldMatchKey Field = "match_key"
	// FieldKey is whose an account is, as source/anchor; no call changes it.
	FieldKey Field = "key"
	// FieldPart is what a Key is to an account, an identity.Part; no call changes it.
	FieldPart Field = "part"
	// FieldToken and FieldBot go from the id of an access token or a bot that the
	// account owns to what becomes of it.
	FieldToken Field = "access_token"
	FieldBot   Field = "bot"
	// FieldPicture goes from the digest of the picture that was uploaded last to that of
	// the one the source has. The account shows neither.
	FieldPicture Field = "picture"
)

const customPrefix = "user_attribute/"

// CustomField is the Field of a custom profile attribute, by its name in Mattermost. The
// account does not show it; the value before is what was set last.
func CustomField(name string) Field { return Field(customPrefix + name) }

// Custom gives the name of the custom profile attribute that a Field is about.
func (f Field) Custom() (name string, ok bool) { return strings.CutPrefix(string(f), customPrefix) }

// Change is one value before and after. Roles are space-separated and sorted,
// active is "true" or "false".
type Change struct {
	Field Field  `json:"field"`
	From  string `json:"from"`
	To    string `json:"to"`
}

// Op is one API call's worth of change.
type Op struct {
	Kind    OpKind   `json:"kind"`
	Changes []Change `json:"changes,omitempty"`
	// Parks marks a rename to a temporary name, which is carried out before the
	// other members of its chain move.
	Parks bool `json:"parks,omitempty"`
	// ByDelete marks a SetActive to false that goes through DELETE /users/{id},
	// which switches the account off as well and is not refused for accounts of
	// the server's own LDAP sync (10.2 and later).
	ByDelete bool `json:"by_delete,omitempty"`
	// SpaceID is the team's or channel's id in an op about one.
	SpaceID string `json:"space_id,omitempty"`
	// Detour marks the ops that move a login for a moment, because the server
	// keeps a change locked while the account has the login that it has.
	Detour Leg `json:"detour,omitempty"`
}

// Leg is the part that an Op has in a detour.
type Leg string

// The legs of a detour. Whoever has gone out comes back, whatever becomes of the
// change in between.
const (
	Out  Leg = "out"
	Back Leg = "back"
)

// MovesLogin tells an Op that gives an account another login for good.
func (o Op) MovesLogin() bool {
	return o.Detour == "" && (o.Kind == SetAuth || o.Kind == SetPassword)
}

// To gives the value a field is to have after the Op.
func (o Op) To(f Field) (string, bool) {
	for _, c := range o.Changes {
		if c.Field == f {
			return c.To, true
		}
	}
	return "", false
}

// Profile gives the profile the Op asks for and which fields of it it names.
func (o Op) Profile() (identity.Profile, identity.Attributes) {
	var p identity.Profile
	var set identity.Attributes
	for _, c := range o.Changes {
		a := identity.Attribute(c.Field)
		p = p.With(a, c.To)
		set = set.With(a)
	}
	return p, set
}

// Ender names who can end a Hold.
type Ender string

// Who ends a Hold.
const (
	EndWait     Ender = "wait"     // time, or a later read
	EndSource   Ender = "source"   // somebody who edits the directory
	EndOperator Ender = "operator" // the administrator of mmsync or Mattermost
)

// Note is a part of a person that is not being changed although it differs: a
// locked or taken value. The rest of the Decision goes on without it.
type Note struct {
	Field  Field  `json:"field"`
	Reason Reason `json:"reason"`
	Detail string `json:"detail,omitempty"`
	From   string `json:"from"`
	To     string `json:"to"`
}

// Decision is the outcome for one Key: what, why, and the calls it takes.
type Decision struct {
	Key       identity.Key `json:"key"`
	Ref       string       `json:"ref,omitempty"`
	Action    Action       `json:"action"`
	Reason    Reason       `json:"reason"`
	AccountID string       `json:"account_id,omitempty"` // "" for Create
	Username  string       `json:"username"`             // for people to read: the account's, or the wanted one
	Detail    string       `json:"detail,omitempty"`     // names the holder, the cause, the due time
	// Until is when a Hold that waits for time falls due.
	Until *time.Time `json:"until,omitempty"`
	// Held is the Action that a Hold keeps back; "" for holds that keep back
	// nothing in particular.
	Held  Action `json:"held,omitempty"`
	Notes []Note `json:"notes,omitempty"`
	Ops   []Op   `json:"ops,omitempty"`
	// Withheld are the ops that a guard or an operator keeps back, as they would be
	// carried out: what an approval lets through.
	Withheld []Op `json:"withheld,omitempty"`
	// Approval names the approval by which the Decision passes the guards.
	Approval string `json:"approval,omitempty"`
	// Credits name the changed fields whose values are not the owner's source's.
	Credits []Credit `json:"credits,omitempty"`
	// Chain groups decisions that must be carried out one after another, in
	// plan order, because each frees a name the next one takes. 0 means none.
	Chain int `json:"chain,omitempty"`
}

func compareDecisions(a, b Decision) int {
	if c := cmp.Compare(a.Action.rank(), b.Action.rank()); c != 0 {
		return c
	}
	return a.Key.Compare(b.Key)
}

// SourceSummary says what a plan saw of one source.
type SourceSummary struct {
	Name     string `json:"name"`
	Entries  int    `json:"entries"`
	Last     int    `json:"last_entries,omitempty"` // of the last complete read; 0 = none
	Linked   int    `json:"linked_active"`          // active accounts linked to this source: the base of percentages
	Complete bool   `json:"complete"`
	Doubt    string `json:"doubt,omitempty"` // why it is not complete
	// Changes means that only what had changed was read, so that nobody is missing.
	Changes bool `json:"changes,omitempty"`
	// Faults counts entries that could not be mapped or read.
	Faults int           `json:"faults,omitempty"`
	Took   time.Duration `json:"took_ns,omitempty"`
}

// Doubtful tells that not all was read that should have been.
func (s SourceSummary) Doubtful() bool { return s.Doubt != "" || !s.Complete && !s.Changes }

// TargetSummary says what a plan saw of the server.
type TargetSummary struct {
	URL       string `json:"url"`
	Version   string `json:"version"`
	Active    int    `json:"linked_active"`
	SeatsLeft int    `json:"seats_left"` // negative: no limit
	Locks     Locks  `json:"locks,omitempty"`
	// Estimate is how long carrying the plan out should take; 0 = not known.
	Estimate time.Duration `json:"estimate_ns,omitempty"`
}

// Plan is an ordered set of Decisions. NoOp decisions are only counted.
type Plan struct {
	Decisions []Decision      `json:"decisions"`
	Unchanged int             `json:"unchanged"`
	Sources   []SourceSummary `json:"sources"`
	// Warnings are what somebody should know before this plan is carried out,
	// one sentence each.
	Warnings []string `json:"warnings,omitempty"`
	// Bots stop with the people whom the plan switches off.
	Bots   []StoppingBot `json:"bots_that_stop,omitempty"`
	Target TargetSummary `json:"target"`
}

// Count gives the number of decisions with the given action.
func (p Plan) Count(a Action) int {
	n := 0
	for i := range p.Decisions {
		if p.Decisions[i].Action == a {
			n++
		}
	}
	return n
}

// Effective tells whether carrying out the plan would change anything.
func (p Plan) Effective() bool {
	return slices.ContainsFunc(p.Decisions, func(d Decision) bool { return len(d.Ops) > 0 })
}

// Step names one Op of a Plan by the positions of its Decision and of itself.
type Step struct{ Decision, Op int }

// Unit is what one worker does in sequence: the ops of one Decision, or of a
// whole chain with the parking renames first.
type Unit struct {
	Phase Action
	Steps []Step
}

// Units cuts the plan into units, in the order of execution. Units of one phase
// may run side by side; a phase starts when the one before has ended. What is
// done to a leaver who cannot be switched off belongs to the phase of those who
// can.
func (p Plan) Units() []Unit {
	var out []Unit
	chains := map[int]int{}
	for i := range p.Decisions {
		d := &p.Decisions[i]
		if len(d.Ops) == 0 {
			continue
		}
		at := len(out)
		if d.Chain != 0 {
			if known, ok := chains[d.Chain]; ok {
				at = known
			} else {
				chains[d.Chain] = at
			}
		}
		if at == len(out) {
			phase := d.Action
			if phase == Hold {
				phase = Deactivate
			}
			out = append(out, Unit{Phase: phase})
		}
		for j := range d.Ops {
			out[at].Steps = append(out[at].Steps, Step{Decision: i, Op: j})
		}
	}
	for _, at := range chains {
		slices.SortStableFunc(out[at].Steps, func(a, b Step) int {
			return cmp.Compare(parkRank(p, a), parkRank(p, b))
		})
	}
	slices.SortStableFunc(out, func(a, b Unit) int { return cmp.Compare(a.Phase.rank(), b.Phase.rank()) })
	return out
}

func parkRank(p Plan, s Step) int {
	if p.Decisions[s.Decision].Ops[s.Op].Parks {
		return 0
	}
	return 1
}
