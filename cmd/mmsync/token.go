package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/mmsync/mmsync/internal/config"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

func (a *app) tokenCmd() *cobra.Command {
	cmd := group("token", "the tokens by which identity providers push")
	cmd.Long = "The tokens by which identity providers push to sources of type scim. What is done with them counts at once,\n" +
		"for a daemon that runs as well. A secret is shown once, when it is made, and kept nowhere."
	cmd.AddCommand(a.tokenCreateCmd(), a.tokenListCmd(), a.tokenRotateCmd(), a.tokenRevokeCmd())
	return cmd
}

func (a *app) tokenCreateCmd() *cobra.Command {
	var n reconcile.NewToken
	var expires age
	var reason string
	cmd := &cobra.Command{
		Use:   "create",
		Short: "make a token and show its secret, once",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if n.Source == "" || n.Name == "" {
				return usage(errors.New("token create needs --source and --name"))
			}
			n.Lifetime = time.Duration(expires)
			if err := n.Check(); err != nil {
				return usage(err)
			}
			return a.inStore(cmd.Context(), func(c *config.Config, store state.Store) error {
				if err := pushedSource(c, n.Source); err != nil {
					return err
				}
				o := reconcile.RunOptions{Trigger: "cli", RequestedBy: whoami(), Reason: reason}
				t, secret, err := reconcile.CreateToken(cmd.Context(), store, o, n)
				if err != nil {
					return err
				}
				return a.printSecret(t, secret, "")
			})
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&n.Source, "source", "", "the `source` that is pushed to (required)")
	fl.StringVar(&n.Name, "name", "", "what it is called, in lists and in the log (required)")
	fl.Var(&expires, "expires", "let it end by itself after this time, such as 365d (0: never)")
	fl.StringSliceVar(&n.Scopes, "scope", nil, "what it may do: `users`, groups, read (not write); users and groups if not given")
	fl.StringSliceVar(&n.Networks, "from", nil, "take it only from this `network`, such as 192.0.2.0/24; may be repeated")
	fl.StringVar(&reason, "reason", "", "`why`, kept in the history")
	return cmd
}

func (a *app) tokenRotateCmd() *cobra.Command {
	var source, reason string
	var expires age
	overlap := age(24 * time.Hour)
	cmd := &cobra.Command{
		Use:   "rotate NAME",
		Short: "make another secret, and let the one before expire",
		Long: "Make another secret for a token, with the same rights, and let the one before expire once it has been put\n" +
			"into the identity provider. The new one is called NAME#2, then NAME#3; NAME stands for the last of them.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.inStore(cmd.Context(), func(c *config.Config, store state.Store) error {
				if err := knownSource(c, source); err != nil {
					return err
				}
				o := reconcile.RunOptions{Trigger: "cli", RequestedBy: whoami(), Reason: reason}
				next, before, secret, err := reconcile.RotateToken(cmd.Context(), store, o, source, args[0], time.Duration(overlap), time.Duration(expires))
				if err != nil {
					return err
				}
				end := before.Name + " is not taken any more.\n"
				if before.ExpiresAt.After(next.CreatedAt) {
					end = fmt.Sprintf("%s is taken until %s UTC.\n", before.Name, when(before.ExpiresAt))
				}
				return a.printSecret(next, secret, end)
			})
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&source, "source", "", "the token's `source`, if several have one of this name")
	fl.Var(&overlap, "overlap", "how long the secret before is still taken")
	fl.Var(&expires, "expires", "let the new one end after this time, such as 365d; not given: as long a life as the one before")
	fl.StringVar(&reason, "reason", "", "`why`, kept in the history")
	return cmd
}

func (a *app) tokenRevokeCmd() *cobra.Command {
	var source, reason string
	cmd := &cobra.Command{
		Use:   "revoke NAME",
		Short: "end a token, within five seconds",
		Long:  "End a token, and every short-lived one that was fetched with it, within five seconds. NAME is the token's\nown name or its id; other generations of it go on.",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := needsReason(cmd, reason); err != nil {
				return err
			}
			return a.inStore(cmd.Context(), func(c *config.Config, store state.Store) error {
				if err := knownSource(c, source); err != nil {
					return err
				}
				o := reconcile.RunOptions{Trigger: "cli", RequestedBy: whoami(), Reason: reason}
				t, err := reconcile.RevokeToken(cmd.Context(), store, o, source, args[0])
				if err != nil {
					return err
				}
				if a.output == "json" {
					return a.printJSON(tokensDocument{plan.FormatVersion, []tokenDocument{newTokenDocument(t, t.RevokedAt)}})
				}
				fmt.Fprintf(a.stdout, "token %s (%s) of source %s is revoked; nobody is let in by it after five seconds\n", t.Name, t.ID, t.Source)
				return nil
			})
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&source, "source", "", "the token's `source`, if several have one of this name")
	fl.StringVar(&reason, "reason", "", "`why`, kept in the history")
	return cmd
}

func (a *app) tokenListCmd() *cobra.Command {
	var source string
	var all bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "list tokens, with when each was last used",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.inStore(cmd.Context(), func(c *config.Config, store state.Store) error {
				if err := knownSource(c, source); err != nil {
					return err
				}
				now, err := store.Now(cmd.Context())
				if err != nil {
					return fmt.Errorf("read the store's clock: %w", err)
				}
				list, err := store.Tokens(cmd.Context(), source)
				if err != nil {
					return fmt.Errorf("list tokens: %w", err)
				}
				if !all {
					list = slices.DeleteFunc(list, func(t state.Token) bool { return !t.RevokedAt.IsZero() })
				}
				return a.printTokens(list, now)
			})
		},
	}
	cmd.Flags().StringVar(&source, "source", "", "only those of this `source`")
	cmd.Flags().BoolVar(&all, "all", false, "those that were revoked as well")
	return cmd
}

// pushedSource refuses a source that nobody can push to.
func pushedSource(c *config.Config, name string) error {
	if err := knownSource(c, name); err != nil {
		return err
	}
	i := slices.IndexFunc(c.Sources, func(s config.Source) bool { return s.Name == name })
	if s := c.Sources[i]; s.SCIM == nil {
		return usage(fmt.Errorf("source %s is of type %s: a token is for one of type scim", s.Name, s.Type))
	}
	return nil
}

type tokensDocument struct {
	FormatVersion string          `json:"format_version"`
	Tokens        []tokenDocument `json:"tokens"`
}

type tokenDocument struct {
	ID       string     `json:"id"`
	Source   string     `json:"source"`
	Name     string     `json:"name"`
	State    string     `json:"state"` // active, expired or revoked
	Scopes   []string   `json:"scopes"`
	Networks []string   `json:"networks"` // none: any
	Made     *time.Time `json:"made"`
	MadeBy   string     `json:"made_by"`
	Expires  *time.Time `json:"expires"`
	Revoked  *time.Time `json:"revoked"`
	Used     *time.Time `json:"used"`
	UsedFrom string     `json:"used_from,omitempty"`
}

func newTokenDocument(t state.Token, now time.Time) tokenDocument {
	d := tokenDocument{
		ID: t.ID, Source: t.Source, Name: t.Name, State: "active", Scopes: t.Scopes, Networks: append([]string{}, t.Networks...),
		Made: rfc3339(t.CreatedAt), MadeBy: t.CreatedBy, Expires: rfc3339(t.ExpiresAt), Revoked: rfc3339(t.RevokedAt), Used: rfc3339(t.UsedAt), UsedFrom: t.UsedFrom,
	}
	if len(d.Scopes) == 0 {
		d.Scopes = []string{"users", "groups"}
	}
	switch {
	case !t.RevokedAt.IsZero():
		d.State = "revoked"
	case !t.ExpiresAt.IsZero() && !now.Before(t.ExpiresAt):
		d.State = "expired"
	}
	return d
}

// printSecret shows a new token. With --quiet it is the secret alone, for a pipe.
func (a *app) printSecret(t state.Token, secret, more string) error {
	if a.output == "json" {
		return a.printJSON(map[string]any{"format_version": plan.FormatVersion, "token": newTokenDocument(t, t.CreatedAt), "secret": secret})
	}
	if a.quiet {
		fmt.Fprintln(a.stdout, secret)
		return nil
	}
	end := "it never expires"
	if !t.ExpiresAt.IsZero() {
		end = "until " + when(t.ExpiresAt) + " UTC"
	}
	fmt.Fprintf(a.stdout, "token %s of source %s, id %s, %s\n%s\n%sThe secret is shown this once and kept nowhere: put it into the identity provider now.\n", t.Name, t.Source, t.ID, end, secret, more)
	return nil
}

func (a *app) printTokens(list []state.Token, now time.Time) error {
	docs := []tokenDocument{}
	for _, t := range list {
		docs = append(docs, newTokenDocument(t, now))
	}
	if a.output == "json" {
		return a.printJSON(tokensDocument{plan.FormatVersion, docs})
	}
	if len(list) == 0 {
		if !a.quiet {
			fmt.Fprintln(a.stdout, "there is no token; mmsync token create makes one")
		}
		return nil
	}
	rows := make([][]string, len(list))
	for i, d := range docs {
		from, expires := strings.Join(d.Networks, ","), when(list[i].ExpiresAt)
		if from == "" {
			from = "anywhere"
		}
		if list[i].ExpiresAt.IsZero() {
			expires = "never"
		}
		rows[i] = []string{d.Name, d.Source, d.ID, d.State, strings.Join(d.Scopes, ","), from, expires, when(list[i].UsedAt), d.UsedFrom}
	}
	return a.table([]string{"NAME", "SOURCE", "ID", "STATE", "SCOPE", "FROM", "EXPIRES", "LAST USED", "BY"}, rows)
}
