package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/mmsync/mmsync/internal/daemon"
	"github.com/mmsync/mmsync/internal/reconcile/plan"
	"github.com/mmsync/mmsync/internal/state"
	"github.com/mmsync/mmsync/internal/state/archive"
)

func (a *app) backupCmd() *cobra.Command {
	var keys []string
	cmd := &cobra.Command{
		Use:   "backup FILE|-",
		Short: "write all that the store keeps into one file",
		Long: "Write all that the store keeps into one file, as it is at one moment, while others go on working. The file fits a\n" +
			"store of either kind, holds names and addresses, and is readable by its owner alone; - writes to the standard\n" +
			"output. With --recipient only who has the secret key can read it. The key of audit.key_file is not in it: keep a\n" +
			"copy of that elsewhere. An existing file is not overwritten.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			recipients, err := archive.Recipients(keys)
			if err != nil {
				return usage(err)
			}
			return a.withStore(func(cmd *cobra.Command, s daemon.Store) error {
				if err := s.Ready(cmd.Context()); err != nil {
					return fmt.Errorf("check the store: %w", err)
				}
				var head state.BackupHead
				var rows int64
				err := toFile(args[0], a.stdout, func(to io.Writer) error {
					w, err := archive.NewWriter(to, version(), recipients...)
					if err != nil {
						return err
					}
					if err := s.Backup(cmd.Context(), w); err != nil {
						return err
					}
					head, rows = w.Written()
					return w.Close()
				})
				if err != nil {
					return err
				}
				return a.printBackup(args[0], head, rows, len(recipients) > 0)
			})(cmd, args)
		},
	}
	cmd.Flags().StringArrayVar(&keys, "recipient", nil, "encrypt for this public `key` of age, age1…; may be given several times")
	return cmd
}

// printBackup says what was written; on the error output, if the backup itself went to
// the standard one.
func (a *app) printBackup(file string, h state.BackupHead, rows int64, encrypted bool) error {
	if file == "-" {
		return nil
	}
	if a.output == "json" {
		return a.printJSON(map[string]any{
			"format_version": plan.FormatVersion, "file": file, "schema": h.Schema, "made_at": h.MadeAt, "rows": rows, "links": linksIn(h), "encrypted": encrypted,
		})
	}
	fmt.Fprintf(a.stdout, "wrote %s, %s among them, to %s", counted(rows, "row"), counted(linksIn(h), "link"), file)
	if encrypted {
		fmt.Fprint(a.stdout, ", encrypted")
	}
	fmt.Fprintln(a.stdout)
	return nil
}

func linksIn(h state.BackupHead) int64 {
	for i := range h.Tables {
		if h.Tables[i].Name == "links" {
			return h.Tables[i].Rows
		}
	}
	return 0
}

// toFile gives the standard output for -, else a new file that appears under its name
// once it is whole and on the disk.
func toFile(name string, stdout io.Writer, write func(io.Writer) error) (err error) {
	if name == "-" {
		b := bufio.NewWriter(stdout)
		return errors.Join(write(b), b.Flush())
	}
	if _, err := os.Lstat(name); err == nil {
		return fmt.Errorf("%s is there already: name another file, such as one with the date in its name", name)
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*") // for the owner alone
	if err != nil {
		return fmt.Errorf("make the file: %w", err)
	}
	defer func() {
		if rerr := os.Remove(f.Name()); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
			err = errors.Join(err, fmt.Errorf("take away what was written beside the file: %w", rerr))
		}
	}()
	b := bufio.NewWriter(f)
	err = write(b)
	if err == nil {
		err = b.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), name); err != nil { // unlike a rename, it replaces nothing
		return fmt.Errorf("name the file: %w", err)
	}
	return nil
}

func (a *app) restoreCmd() *cobra.Command {
	var identity string
	cmd := &cobra.Command{
		Use:   "restore FILE|-",
		Short: "put a backup into an empty store",
		Long: "Put what mmsync state backup wrote into the store of state.url, which has to be empty and may be of the other kind:\n" +
			"everything, or nothing if the file is damaged. Stop all other mmsync first. Then read mmsync plan; until\n" +
			"mmsync state accept-restore, sync refuses to write.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			r, done, err := openBackup(args[0], identity)
			if err != nil {
				return err
			}
			defer done()
			_, store, err := a.openStore(cmd.Context())
			if err != nil {
				return err
			}
			defer closing(store, &err)
			at, err := store.Now(cmd.Context())
			if err != nil {
				return fmt.Errorf("read the store's clock: %w", err)
			}
			h := r.Head()
			if err := store.Restore(cmd.Context(), h, r, state.Mark{Name: state.MarkRestored, ServerDate: h.MadeAt, At: at}); err != nil {
				return err
			}
			return a.printRestored(h, r)
		},
	}
	cmd.Flags().StringVar(&identity, "identity", "", "the `file` with age's secret key that opens an encrypted backup")
	return cmd
}

// secretKeys reads the file of --identity; without one there are none.
func secretKeys(name string) (archive.Keys, error) {
	if name == "" {
		return archive.Keys{}, nil
	}
	file, err := os.Open(name)
	if err != nil {
		return archive.Keys{}, fmt.Errorf("open the file of --identity: %w", err)
	}
	defer file.Close()
	out, err := archive.Identities(file)
	if err != nil {
		return archive.Keys{}, fmt.Errorf("read %s: %w", name, err)
	}
	return out, nil
}

// openBackup also gives what closes it.
func openBackup(name, identity string) (*archive.Reader, func(), error) {
	secret, err := secretKeys(identity)
	if err != nil {
		return nil, nil, err
	}
	file := os.Stdin
	if name != "-" {
		if file, err = os.Open(name); err != nil {
			return nil, nil, fmt.Errorf("open the backup: %w", err)
		}
	}
	done := func() { _ = file.Close() } // it was only read
	r, err := archive.NewReader(file, secret)
	if err != nil {
		done()
		return nil, nil, err
	}
	return r, done, nil
}

func (a *app) printRestored(h state.BackupHead, r *archive.Reader) error {
	if a.output == "json" {
		return a.printJSON(map[string]any{
			"format_version": plan.FormatVersion, "schema": h.Schema, "made_at": h.MadeAt, "made_by": r.Program(), "rows": r.Rows(), "links": linksIn(h),
		})
	}
	fmt.Fprintf(a.stdout, "restored %s, %s among them, as they were on %s\n", counted(r.Rows(), "row"), counted(linksIn(h), "link"), h.MadeAt.UTC().Format(time.DateTime))
	fmt.Fprintln(a.stdout, "read mmsync plan; until mmsync state accept-restore --reason … nothing is written to Mattermost")
	return nil
}
