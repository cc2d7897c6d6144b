package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
)

func (a *app) importCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "import",
		Short: "take over what another program was told",
		Long:  "Take over what another program was told.",
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.importMattermostCmd())
	return cmd
}

func (a *app) importMattermostCmd() *cobra.Command {
	out := "-"
	cmd := &cobra.Command{
		Use:   "mattermost-config FILE|-",
		Short: "make a configuration of Mattermost's own LDAP settings",
		Long: "Make a configuration of the LdapSettings in Mattermost's config.json, or in what mmctl config show prints. With it\n" +
			"mmsync recognises the accounts that Mattermost's LDAP sync has filled by their login, and changes none of them.\n" +
			"What cannot be carried over is a comment in the file and a line on the error output. Passwords are not copied.",
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			settings, err := readMattermostConfig(args[0])
			if err != nil {
				return err
			}
			text, notes, err := settings.convert()
			if err != nil {
				return fmt.Errorf("convert %s: %w", args[0], err)
			}
			if err := toFile(out, a.stdout, func(w io.Writer) error {
				_, err := io.WriteString(w, text)
				return err
			}); err != nil {
				return err
			}
			for _, n := range notes {
				a.say("note: " + n)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&out, "out", "-", "`file` to write, for its owner alone; one that is there is not overwritten")
	return cmd
}

// readMattermostConfig takes the file, or what mmctl config show --json prints.
func readMattermostConfig(name string) (mattermostConfig, error) {
	var c mattermostConfig
	in := os.Stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return c, fmt.Errorf("open Mattermost's configuration: %w", err)
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, 16<<20))
	if err != nil {
		return c, fmt.Errorf("read Mattermost's configuration: %w", err)
	}
	if err := json.Unmarshal(data, &c); err != nil {
		// The text may hold passwords, so no more of the error than its place is shown.
		var syntax *json.SyntaxError
		var kind *json.UnmarshalTypeError
		switch {
		case errors.As(err, &syntax):
			return c, fmt.Errorf("%s is not JSON, from byte %d on; give Mattermost's config.json", name, syntax.Offset)
		case errors.As(err, &kind):
			return c, fmt.Errorf("%s: %s holds %s where Mattermost has %s", name, kind.Field, kind.Value, kind.Type)
		}
		return c, fmt.Errorf("%s is not Mattermost's config.json", name)
	}
	if c.LDAP == nil {
		return c, fmt.Errorf("%s has no LdapSettings; give Mattermost's config.json, or what mmctl config show prints", name)
	}
	return c, nil
}
