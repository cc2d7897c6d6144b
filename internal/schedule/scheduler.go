package schedule

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	// lookAtClock is how long a Scheduler sleeps at most: the clock may be set, and a
	// machine that was suspended has slept longer than it thinks.
	lookAtClock = time.Minute
	// askAgain is how long it waits with a job of which it could not learn when it was
	// done last.
	askAgain = 10 * time.Second
)

// Job is something that is done by a Schedule.
type Job struct {
	Name     string
	Schedule *Schedule
	// Done gives the last tick that was done, by this process or another; the zero
	// time if none ever was. It is asked once, at the beginning, until it answers. The
	// error is its own to log.
	Done func(ctx context.Context) (time.Time, error)
	// Run does what is to be done for a tick. next is the one that follows. What goes
	// wrong is its own to log; a tick is not tried twice.
	Run func(ctx context.Context, tick, next time.Time)
}

// Scheduler does jobs, one at a time.
type Scheduler struct {
	// Round, if not nil, is told at least once in a minute while no job is at work.
	Round func()

	jobs []*job
	// seen is what the clock showed last.
	seen time.Time
}

type job struct {
	Job
	asked bool
	tried time.Time // the last tick that is done with
	tick  time.Time // the next; zero if there is none
	at    time.Time // when to begin with it, or to ask
}

// New makes a Scheduler of jobs. Of two that are due at the same time the first goes
// first.
func New(jobs []Job) *Scheduler {
	s := &Scheduler{}
	for _, j := range jobs {
		s.jobs = append(s.jobs, &job{Job: j})
	}
	return s
}

// Run does the jobs until ctx ends, and waits for the one at work. A job whose last
// tick was missed, because nobody ran or because another job took that long, is done
// once, at once, however many were missed. One that was never done begins with its
// next tick.
func (s *Scheduler) Run(ctx context.Context) error {
	s.seen = time.Now().Round(0)
	for ctx.Err() == nil {
		if s.Round != nil {
			s.Round()
		}
		j := s.first()
		if j == nil {
			<-ctx.Done()
			break
		}
		if wait := j.at.Sub(time.Now().Round(0)); wait > 0 {
			if !s.sleep(ctx, min(wait, lookAtClock)) {
				break
			}
			continue
		}
		if !j.asked {
			j.ask(ctx)
			continue
		}
		tick := later(j.tick, j.Schedule.Latest(time.Now().Round(0)))
		j.Run(ctx, tick, j.Schedule.Next(tick))
		j.tried = tick
		j.plan(time.Now().Round(0))
	}
	return nil
}

// first gives the job that is due first.
func (s *Scheduler) first() *job {
	var out *job
	for _, j := range s.jobs {
		if (!j.asked || !j.tick.IsZero()) && (out == nil || j.at.Before(out.at)) {
			out = j
		}
	}
	return out
}

// sleep plans anew if the clock was set back meanwhile: what was due at a later time
// is due again then.
func (s *Scheduler) sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
	}
	now := time.Now().Round(0) // without the reading that goes on evenly
	if now.Before(s.seen.Add(-time.Second)) {
		for _, j := range s.jobs {
			if j.asked {
				j.tried = now
				j.plan(now)
			}
		}
	}
	s.seen = now
	return true
}

// ask learns when the job was done last.
func (j *job) ask(ctx context.Context) {
	now := time.Now().Round(0)
	done, err := j.Done(ctx)
	if err != nil {
		j.at = now.Add(askAgain)
		return
	}
	if j.asked, j.tried = true, done; done.IsZero() || done.After(now) {
		j.tried = now
	}
	j.plan(now)
}

// plan sets the next tick: one that was missed, or else the next one to come.
func (j *job) plan(now time.Time) {
	if last := j.Schedule.Latest(now); last.After(j.tried) {
		j.tick, j.at = last, now
		return
	}
	j.tick = j.Schedule.Next(now)
	j.at = j.tick
	if most := j.Schedule.Jitter(); most > 0 && !j.tick.IsZero() {
		j.at = j.tick.Add(rand.N(most)) //nolint:gosec // nobody gains from guessing it
	}
}
