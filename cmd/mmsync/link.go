package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/mmsync/mmsync/internal/identity"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
)

func (a *app) linkCmd() *cobra.Command {
	cmd := group("link", "who owns which account")
	cmd.AddCommand(a.linkListCmd(), a.linkApproveCmd(), a.linkSetCmd(), a.linkReleaseCmd(), a.linkPurgeCmd(), a.linkIgnoreCmd(),
		a.linkConflictsCmd(), a.linkUnmanagedCmd(), a.linkRekeyCmd(), a.linkFreeNameCmd(), a.linkExportCmd(), a.linkImportCmd(),
		a.linkContributeCmd(), a.linkHandOverCmd())
	return cmd
}

func (a *app) linkListCmd() *cobra.Command {
	var source string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "list the accounts that mmsync owns",
		Long: "List whose the accounts are. STATE adds and gone are of people of other sources than the owner's who\n" +
			"add to his account, or did while their source had them.",
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			c, store, err := a.openStore(cmd.Context())
			if err != nil {
				return err
			}
			defer closing(store, &err)
			links, err := store.Links(cmd.Context(), state.LinkFilter{Source: source})
			if err != nil {
				return fmt.Errorf("list links: %w", err)
			}
			if len(links) == 0 { // links of a source that was taken out can still be listed
				if err := knownSource(c, source); err != nil {
					return err
				}
			}
			if a.output == "json" {
				d := linksDocument{FormatVersion: plan.FormatVersion, Links: []linkDocument{}}
				for _, l := range links {
					d.Links = append(d.Links, newLinkDocument(l))
				}
				return a.printJSON(d)
			}
			rows := make([][]string, 0, len(links))
			for _, l := range links {
				d := newLinkDocument(l)
				active := "active"
				switch {
				case d.Part == identity.Contributor && !d.Active:
					active = "gone" // there; the account is its owner's matter
				case d.Part == identity.Contributor:
					active = "adds"
				case !d.Active:
					active = "off"
				}
				rows = append(rows, []string{d.Source, d.Anchor, d.AccountID, d.Username, active, string(d.Origin), when(l.CreatedAt), d.Ref})
			}
			return a.table([]string{"SOURCE", "ANCHOR", "ACCOUNT", "USERNAME", "STATE", "ORIGIN", "SINCE (UTC)", "LAST PLACE"}, rows)
		},
	}
	cmd.Flags().StringVar(&source, "source", "", "only this `source`'s")
	return cmd
}

type linksDocument struct {
	FormatVersion string         `json:"format_version"`
	Links         []linkDocument `json:"links"`
}

type linkDocument struct {
	Source    string          `json:"source"`
	Anchor    string          `json:"anchor"`
	AccountID string          `json:"account_id"`
	Username  string          `json:"username"`
	Active    bool            `json:"active"`
	Part      identity.Part   `json:"part"`
	Origin    identity.Origin `json:"origin"`
	Ref       string          `json:"ref"`
	Since     *time.Time      `json:"since"`
	// DeactivatedAt is the delete_at that mmsync's own call produced.
	DeactivatedAt int64 `json:"deactivated_at,omitempty"`
}

func newLinkDocument(l identity.Link) linkDocument {
	d := linkDocument{
		Source: l.Key.Source, Anchor: l.Key.Anchor, AccountID: l.AccountID, Username: l.Applied.Profile.Username,
		Active: l.Applied.Active, Part: l.Part, Origin: l.Origin, Ref: l.Ref, Since: rfc3339(l.CreatedAt), DeactivatedAt: l.DeactivatedAt,
	}
	if l.Observed != nil {
		d.Username, d.Active = l.Observed.Username, l.Observed.Active()
	}
	return d
}
