package config

import "time"

// Notices says who is told what needs somebody.
type Notices struct {
	// Sinks are told; with none, what happens is in the log alone.
	Sinks []Sink `yaml:"sinks"`
	// RepeatAfter is how long after it was told what still lasts is told again, 1 h to
	// 30 d.
	RepeatAfter time.Duration `yaml:"repeat_after"`
	// LeaverHeldAfter is how long somebody who left may be kept from being switched off
	// before it is told, 1 min to 24 h.
	LeaverHeldAfter time.Duration `yaml:"leaver_held_after"`
	// RunsFailed is how many runs in a row have to fail, 1 to 50; 0 = never told.
	RunsFailed int `yaml:"runs_failed"`
	// SourceStaleAfter is the age of a source's last complete read, at least 10 min; 0 =
	// never told.
	SourceStaleAfter time.Duration `yaml:"source_stale_after"`
	// IDPSilentAfter is how long no client of a source that is pushed has asked for
	// anything, at least 10 min; 0 = never told.
	IDPSilentAfter time.Duration `yaml:"idp_silent_after"`
	// SeatsLeft is how few seats are worth telling; 0 = never told.
	SeatsLeft int `yaml:"seats_left"`
	// ExpiringWithin is how long before its end a token, a certificate or the licence is
	// told, at most 365 d; 0 = never told.
	ExpiringWithin time.Duration `yaml:"expiring_within"`
	// LeftBehind tells of people who were switched off and own webhooks, slash commands,
	// OAuth apps or bots that work on.
	LeftBehind bool `yaml:"left_behind"`
	// Leavers tells of people who have left and whose accounts mmsync switched off.
	Leavers bool `yaml:"leavers"`
}

// The values of Sink.Type.
const (
	SinkMattermost = "mattermost"
	SinkWebhook    = "webhook"
	SinkEmail      = "email"
	// SinkManager writes to whom a leaver reported to.
	SinkManager = "manager"
)

// The values of Sink.MinSeverity.
const (
	SeverityWarn  = "warn"
	SeverityAlarm = "alarm"
)

// The values of Sink.Security.
const (
	MailStartTLS = "starttls"
	MailTLS      = "tls"
	MailPlain    = "none"
)

// Sink is one receiver of notices. Which keys it has depends on Type.
type Sink struct {
	// Name is its name in the log and for mmsync notify; as that of a source.
	Name string `yaml:"name,required"`
	Type string `yaml:"type,required"`
	// MinSeverity is warn (all) or alarm.
	MinSeverity string `yaml:"min_severity"`

	// Channel is team/channel as in its address, or the channel's id. Of mattermost.
	Channel string `yaml:"channel"`
	// Details lets the channel see usernames; nil is no. Of mattermost.
	Details *bool `yaml:"details"`

	// URL is where a webhook posts to.
	URL Secret `yaml:"url,file"`
	// Secret signs what a webhook posts, if it is set.
	Secret Secret `yaml:"secret,file"`
	// AllowHTTP lets a webhook post in the clear to another machine; nil is no.
	AllowHTTP *bool `yaml:"allow_http"`

	// Server is host:port of a mail server.
	Server string `yaml:"server"`
	// Security is starttls, tls, or none, which only a server on this machine may have.
	Security string `yaml:"security"`
	// Username logs in to the mail server, with Password; "" does not.
	Username string   `yaml:"username"`
	Password Secret   `yaml:"password,file"`
	From     string   `yaml:"from"`
	To       []string `yaml:"to,single"`

	// CAFile holds PEM certificates to trust beside the system's. Of webhook and email.
	CAFile string `yaml:"ca_file"`
}

func defaultNotices() Notices {
	return Notices{
		RepeatAfter: 24 * time.Hour, LeaverHeldAfter: 15 * time.Minute, RunsFailed: 3, SourceStaleAfter: 26 * time.Hour, SeatsLeft: 10,
		ExpiringWithin: 14 * 24 * time.Hour,
	}
}

// ShowsPeople tells whether Details is true.
func (s *Sink) ShowsPeople() bool { return s.Details != nil && *s.Details }

// TakesHTTP tells whether AllowHTTP is true.
func (s *Sink) TakesHTTP() bool { return s.AllowHTTP != nil && *s.AllowHTTP }
