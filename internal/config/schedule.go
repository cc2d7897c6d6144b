package config

import "time"

// Schedule says what mmsync serve does by itself, and what is not done at some times.
type Schedule struct {
	// Timezone is where the clock hangs that cron and Blackout go by, as in
	// Europe/Berlin; a run may have its own.
	Timezone string `yaml:"timezone"`
	// Runs are made by mmsync serve, one at a time.
	Runs []ScheduledRun `yaml:"runs"`
	// Blackout are parts of every week, with the operations that are not made then,
	// whoever starts the run: "Fri 17:00-Mon 06:00 deactivate".
	Blackout []Expr `yaml:"blackout"`
}

// ScheduledRun is one schedule: by Cron or by Every, one of the two.
type ScheduledRun struct {
	// Name is unique and matches [a-z][a-z0-9-]{0,31}; when it ran last is kept under it.
	Name string `yaml:"name,required"`
	// Cron has five fields.
	Cron  Expr          `yaml:"cron"`
	Every time.Duration `yaml:"every"`
	// Timezone is Schedule's if not written.
	Timezone string `yaml:"timezone"`
	// Jitter is how much later than its time a run begins at most; less than Every.
	Jitter time.Duration `yaml:"jitter"`
	// Sources are those whose people are worked on; empty means all.
	Sources []string `yaml:"sources"`
	// Operations are what is done, of Operations; empty means everything. What else
	// would be done is shown as held.
	Operations []string `yaml:"operations"`
	// Audit walks all accounts of the server, as mmsync sync --audit does.
	Audit bool `yaml:"audit"`
}

// Operations are the kinds of change that a schedule or a blackout can name.
func Operations() []string {
	return []string{OpCreate, OpAdopt, OpUpdate, OpReactivate, OpDeactivate}
}

// The kinds of change that a schedule or a blackout can name.
const (
	OpCreate     = "create"
	OpAdopt      = "adopt"
	OpUpdate     = "update"
	OpReactivate = "reactivate"
	OpDeactivate = "deactivate"
)
