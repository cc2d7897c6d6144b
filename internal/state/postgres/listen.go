package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// channel carries the word that somebody is due, or that a run is asked for. It says no
// more than that: whoever hears it looks.
const channel = "mmsync_wake"

const (
	sayWake    = `select pg_notify('` + channel + `', '')`
	hearWakes  = `listen ` + channel
	besideWake = `, pg_notify('` + channel + `', '')`
)

const (
	// quietFor is how long nothing is heard until the connection is tried.
	quietFor = 30 * time.Second
	// firstAgain and mostAgain are how long is waited before a connection is made again.
	firstAgain, mostAgain = 250 * time.Millisecond, 30 * time.Second
)

// Listens tells whether Listen can hear anything: whether Options.Listen is set.
func (s *Store) Listens() bool { return s.listen != nil }

// Listen calls wake whenever somebody has said that something is due, and each time a
// connection is made, for something may have been said before. It goes on until ctx ends;
// a connection that breaks is made again, and lost is told why it is not there. It is a
// help and no more: what is said while there is no connection is not heard.
func (s *Store) Listen(ctx context.Context, wake func(), lost func(error)) error {
	if s.listen == nil {
		<-ctx.Done()
		return nil
	}
	for wait := firstAgain; ctx.Err() == nil; wait = min(2*wait, mostAgain) {
		heard, err := s.hear(ctx, wake)
		if heard {
			wait = firstAgain
		}
		if ctx.Err() == nil {
			lost(err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
	return nil
}

// hear is one connection's life. heard says that it was there.
func (s *Store) hear(ctx context.Context, wake func()) (heard bool, err error) {
	text, err := s.listen()
	if err != nil {
		return false, fmt.Errorf("read the url to listen at: %w", err)
	}
	cfg, err := parse(text, Options{})
	if err != nil {
		return false, fmt.Errorf("the url to listen at: %w", err)
	}
	what := fmt.Sprintf("listen to postgres database %s on %s:%d", cfg.ConnConfig.Database, cfg.ConnConfig.Host, cfg.ConnConfig.Port)
	c, err := pgx.ConnectConfig(ctx, cfg.ConnConfig)
	if err != nil {
		return false, s.fault(ctx, what, err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = c.Close(ctx) // nothing is lost with it
	}()
	if _, err := c.Exec(ctx, hearWakes); err != nil {
		return false, s.fault(ctx, what, err)
	}
	for {
		wake()
		if err := awaitWord(ctx, c); err != nil {
			return true, s.fault(ctx, what, err)
		}
	}
}

// awaitWord waits for a word, and sees now and then that one could come.
func awaitWord(ctx context.Context, c *pgx.Conn) error {
	for {
		quiet, cancel := context.WithTimeout(ctx, quietFor)
		_, err := c.WaitForNotification(quiet)
		cancel()
		if err == nil || ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		within, cancel := context.WithTimeout(ctx, connectTimeout)
		err = c.Ping(within)
		cancel()
		if err != nil {
			return err
		}
	}
}
