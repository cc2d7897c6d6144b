package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mmsync/mmsync/internal/config"
	"github.com/mmsync/mmsync/internal/daemon"
	"github.com/mmsync/mmsync/internal/demo"
	"github.com/mmsync/mmsync/internal/mattermost/mmsim"
	"github.com/mmsync/mmsync/internal/reconcile"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
)

type demoFlags struct {
	users      int
	once       bool
	mattermost string
	listen     string
}

func (a *app) demoCmd() *cobra.Command {
	var f demoFlags
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "try mmsync with nothing installed: a simulated Mattermost and an invented company",
		Long: "Try mmsync with nothing installed. A simulated Mattermost server is started on this machine, an\n" +
			"invented company is planned and applied, some people leave, marry, rise and come back, and that is\n" +
			"planned and applied as well. Then both servers stay up until you press Ctrl-C: Mattermost, and mmsync's SCIM\n" +
			"endpoint for identity providers. Nothing is kept afterwards.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.users < 0 {
				return usage(fmt.Errorf("--users is %d, but must be 0 or more", f.users))
			}
			return a.demo(cmd.Context(), f)
		},
	}
	cmd.Flags().IntVar(&f.users, "users", 200, "how many people to invent (0: an empty server and no plan)")
	cmd.Flags().BoolVar(&f.once, "once", false, "end after the second plan")
	cmd.Flags().StringVar(&f.mattermost, "mattermost-listen", "127.0.0.1:8065", "`address` of the simulated Mattermost server")
	cmd.Flags().StringVar(&f.listen, "listen", "127.0.0.1:8080", "`address` of mmsync's own SCIM endpoint")
	return cmd
}

// demoDocument comes first with -o json, so that a script can go on from it.
type demoDocument struct {
	FormatVersion   string `json:"format_version"`
	MattermostURL   string `json:"mattermost_url"`
	MattermostToken string `json:"mattermost_token"`
	SCIMURL         string `json:"scim_url"`
	SCIMToken       string `json:"scim_token"`
	// Config works with the other commands while the demo runs, if MMSYNC_DEMO_TOKEN
	// is MattermostToken.
	Config string `json:"config"`
}

func (a *app) demo(ctx context.Context, f demoFlags) (err error) {
	server := mmsim.New(mmsim.Options{})
	url, err := server.Listen(f.mattermost)
	if err != nil {
		return &exitError{
			code: exitFailed, err: fmt.Errorf("start the simulated Mattermost server: %w", err),
			hint: "take another port with --mattermost-listen 127.0.0.1:0",
		}
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", f.listen)
	if err != nil {
		return &exitError{code: exitFailed, err: fmt.Errorf("listen for SCIM: %w", err), hint: "take another port with --listen 127.0.0.1:0"}
	}
	defer l.Close()
	dir, err := os.MkdirTemp("", "mmsync-demo-")
	if err != nil {
		return fmt.Errorf("make a folder for the demo: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	doc := demoDocument{
		FormatVersion: plan.FormatVersion, MattermostURL: url, MattermostToken: server.AdminToken(),
		SCIMURL: "http://" + l.Addr().String() + "/scim/v2", Config: filepath.Join(dir, "config.yaml"),
	}
	story := demo.Tell(f.users)
	p := a.progress()
	d, err := a.demoDaemon(ctx, doc, dir, story, p)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	asked := reconcile.RunOptions{Trigger: "demo", RequestedBy: whoami()}
	if _, doc.SCIMToken, err = reconcile.CreateToken(ctx, d.Store, asked, reconcile.NewToken{Source: demo.Provider, Name: "demo"}); err != nil {
		return err
	}
	if err := a.introduce(doc); err != nil {
		return err
	}
	if f.users > 0 {
		if err := a.tell(ctx, d, p, story, dir); err != nil {
			return err
		}
	}
	if f.once {
		return nil
	}
	if a.output != "json" {
		fmt.Fprintf(a.stdout, demoOutlook, doc.MattermostToken, doc.MattermostURL, doc.SCIMURL, doc.SCIMToken, doc.MattermostToken, doc.Config)
	}
	err = d.Serve(ctx, daemon.ServeOptions{Listener: l})
	if ctx.Err() != nil {
		return nil
	}
	return err
}

const demoOutlook = `
Both servers stay up until you press Ctrl-C. Look at somebody, push somebody, and see what mmsync says of it:
  curl -s -H 'Authorization: Bearer %s' %s/api/v4/users/username/admin
  curl -s %s/Users -H 'Authorization: Bearer %s' -H 'Content-Type: application/scim+json' \
    -d '{"userName":"nora.lind@example.org","name":{"givenName":"Nora","familyName":"Lind"},"emails":[{"value":"nora.lind@example.org","type":"work","primary":true}],"active":true}'
  MMSYNC_DEMO_TOKEN=%s mmsync explain -c %s nora.lind
`

func (a *app) introduce(doc demoDocument) error {
	if a.output == "json" {
		return a.printJSON(doc)
	}
	fmt.Fprintf(a.stdout, "A simulated Mattermost 11.6 server is up at %s\n  its administrator's token: %s\n", doc.MattermostURL, doc.MattermostToken)
	fmt.Fprintf(a.stdout, "Identity providers can push to %s\n  with the token: %s\n", doc.SCIMURL, doc.SCIMToken)
	return nil
}

// demoDaemon is the real program, wired by a configuration file as everywhere.
func (a *app) demoDaemon(ctx context.Context, doc demoDocument, dir string, s demo.Story, p *progress) (*daemon.Daemon, error) {
	env := func(name string) (string, bool) {
		if name == "MMSYNC_DEMO_TOKEN" {
			return doc.MattermostToken, true
		}
		return a.env(name)
	}
	address := strings.TrimSuffix(strings.TrimPrefix(doc.SCIMURL, "http://"), "/scim/v2")
	// Nobody else writes to the demo's server, so that there is nothing to wait for.
	text := append(demo.Config(doc.MattermostURL, address, dir), "lifecycle: {deactivate: {look_again: 0s}}\n"...)
	if err := os.WriteFile(doc.Config, text, 0o600); err != nil {
		return nil, fmt.Errorf("write the demo's configuration: %w", err)
	}
	if err := write(dir, s.First); err != nil {
		return nil, err
	}
	c, err := config.Parse(doc.Config, text, env)
	if err != nil {
		return nil, err
	}
	return daemon.Open(ctx, c, daemon.Options{Logger: a.logger(c), Version: version(), Progress: p.report})
}

// tell runs the story through it.
func (a *app) tell(ctx context.Context, d *daemon.Daemon, p *progress, s demo.Story, dir string) error {
	if a.output != "json" {
		fmt.Fprintf(a.stdout, "Configuration, directory (people.ldif) and store are in %s while the demo runs\n", dir)
	}
	for _, people := range [][]demo.Person{s.Before, s.BeforeLeft} {
		if len(people) == 0 {
			continue
		}
		if err := write(dir, people); err != nil {
			return err
		}
		if _, err := d.Engine.Sync(ctx, demoRun(d)); err != nil {
			return fmt.Errorf("run the prologue: %w", err)
		}
	}
	if err := a.act(ctx, d, p, dir, s.First, "A company meets Mattermost. This is the first plan:"); err != nil {
		return err
	}
	title := "Nothing happens. This is the second plan:"
	if len(s.Events) > 0 {
		title = "Some time later:\n"
		for _, e := range s.Events {
			title += "  - " + e + "\n"
		}
		title += "This is the second plan:"
	}
	return a.act(ctx, d, p, dir, s.Second, title)
}

// demoRun accepts a directory that shrinks: the prologue's has one person.
func demoRun(d *daemon.Daemon) reconcile.RunOptions {
	l := d.Limits()
	l.MinEntriesPercent = 0
	return reconcile.RunOptions{Trigger: "demo", RequestedBy: whoami(), Limits: &l}
}

func write(dir string, people []demo.Person) error {
	if err := os.WriteFile(filepath.Join(dir, "people.ldif"), demo.LDIF(people), 0o600); err != nil {
		return fmt.Errorf("write the demo's directory: %w", err)
	}
	return nil
}

// act shows a plan and carries it out.
func (a *app) act(ctx context.Context, d *daemon.Daemon, p *progress, dir string, people []demo.Person, title string) error {
	if err := write(dir, people); err != nil {
		return err
	}
	planned, err := d.Engine.Plan(ctx, demoRun(d))
	p.clear()
	if err != nil {
		return err
	}
	if a.output == "json" {
		if err := a.printJSON(newRunDocument(planned)); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(a.stdout, "\n%s\n\n", title)
		if err := a.render(planned, plan.Style{Lines: 14}); err != nil {
			return err
		}
	}
	done, err := d.Engine.Sync(ctx, demoRun(d))
	p.clear()
	if err != nil {
		return err
	}
	a.warn(done)
	if done.Plan.Digest() != planned.Plan.Digest() {
		return errors.New("what was applied is not what was planned; this is a fault of mmsync")
	}
	if a.output == "json" {
		return a.printJSON(newRunDocument(done))
	}
	fmt.Fprintf(a.stdout, "Applied in %s: %s done, %d failed\n", round(done.Took), changes(done.Counts.Done), done.Counts.Failed)
	return nil
}
