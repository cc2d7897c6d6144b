package sambatest

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/mmsync/mmsync/internal/ldaptest"
)

// revision counts the ways in which the kept domains were made: another one makes
// them anew.
const revision = 2

// snapshot gives a directory with a stopped domain controller that holds what is
// asked for, and makes it if this machine has none yet. Other processes that want
// one wait meanwhile.
func snapshot(ctx context.Context, o Options) (string, error) {
	cache, err := cacheDir(ctx)
	if err != nil {
		return "", err
	}
	unlock, err := lock(filepath.Join(cache, "lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	bare := filepath.Join(cache, "bare")
	if err := kept(bare, func(dir string) error { return provision(ctx, dir) }); err != nil || o.People == 0 {
		return bare, err
	}
	peopled := filepath.Join(cache, fmt.Sprintf("people-%d", o.People))
	return peopled, kept(peopled, func(dir string) error {
		if err := run(ctx, "cp", "-a", "--reflink=auto", bare+"/.", dir); err != nil {
			return err
		}
		return load(ctx, dir, ldaptest.ActiveDirectory.Tree(o.People))
	})
}

// cacheDir is for one release of Samba, whose files another one may not read.
func cacheDir(ctx context.Context) (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		base = os.TempDir()
	}
	samba, err := program("samba")
	if err != nil {
		return "", err
	}
	version, err := exec.CommandContext(ctx, samba, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("ask Samba for its version: %w", err)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s", revision, version))
	dir := filepath.Join(base, "mmsync-sambatest", fmt.Sprintf("%x", sum[:6]))
	return dir, os.MkdirAll(dir, 0o700)
}

// kept makes a directory unless it is there. It gets its name when it is whole.
func kept(dir string, fill func(string) error) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	part := dir + ".part"
	if err := os.RemoveAll(part); err != nil {
		return err
	}
	if err := os.Mkdir(part, 0o700); err != nil {
		return err
	}
	if err := fill(part); err != nil {
		return errors.Join(err, os.RemoveAll(part))
	}
	return os.Rename(part, dir)
}

// provision makes the domain, with its reader and the containers of people and
// groups. Passwords may be simple, never expire, and lock after a few wrong ones.
func provision(ctx context.Context, dir string) error {
	err := run(ctx, "samba-tool", "domain", "provision", "--realm=AD.TEST", "--domain=AD", "--server-role=dc", "--dns-backend=NONE",
		"--adminpass="+AdminPassword, "--host-name=dc1", "--host-ip=127.0.0.1", "--targetdir="+dir,
		"--option=interfaces=127.0.0.1/8", "--option=bind interfaces only=yes", "--option=vfs objects=dfs_samba4 acl_xattr xattr_tdb")
	if err != nil {
		return err
	}
	if err := writeConfig(dir, "127.0.0.1"); err != nil {
		return err
	}
	conf := "--configfile=" + configFile(dir)
	err = run(ctx, "samba-tool", "domain", "passwordsettings", "set", conf, "--complexity=off", "--min-pwd-length=1", "--max-pwd-age=0", "--min-pwd-age=0",
		"--history-length=0", fmt.Sprintf("--account-lockout-threshold=%d", LockoutThreshold))
	if err != nil {
		return err
	}
	return run(ctx, "samba-tool", "user", "create", "reader", Password, conf)
}

// load adds entries while the server does not run, in one transaction.
func load(ctx context.Context, dir string, entries []ldaptest.Entry) error {
	file := filepath.Join(dir, "load.ldif")
	var b strings.Builder
	for _, e := range entries {
		if e.Attributes["userPrincipalName"] != nil { // as if it had a password, which would take time
			e.Attributes["pwdLastSet"] = []string{"-1"}
		}
		b.WriteString(ldif(e) + "\n")
	}
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		return err
	}
	if err := run(ctx, "ldbadd", "--configfile="+configFile(dir), "-H", filepath.Join(dir, "private", "sam.ldb"), file); err != nil {
		return err
	}
	return os.Remove(file)
}

// ldif writes an entry for ldbadd (RFC 2849).
func ldif(e ldaptest.Entry) string {
	var b strings.Builder
	put := func(name, value string) {
		fmt.Fprintf(&b, "%s:: %s\n", name, base64.StdEncoding.EncodeToString([]byte(value)))
	}
	put("dn", e.DN)
	for _, name := range sortedNames(e.Attributes) {
		for _, v := range e.Attributes[name] {
			put(name, v)
		}
	}
	return b.String()
}

func configFile(dir string) string { return filepath.Join(dir, "smb.conf") }

// writeConfig writes smb.conf(5) for a directory and an address: LDAP and Kerberos
// and nothing else, everything below the directory.
func writeConfig(dir, address string) error {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("[global]\nnetbios name = DC1\nworkgroup = AD\nrealm = AD.TEST\nserver role = active directory domain controller")
	line("server services = ldap, kdc\ninterfaces = %s/8\nbind interfaces only = yes", address)
	line("vfs objects = dfs_samba4 acl_xattr xattr_tdb\nlogging = file\nlog file = %s/log.%%m", dir)
	for _, d := range []struct{ name, below string }{
		{"private dir", "private"},
		{"state directory", "state"},
		{"cache directory", "cache"},
		{"lock directory", "."},
		{"binddns dir", "bind-dns"},
		{"pid directory", "run"},
		{"ncalrpc dir", "ncalrpc"},
		{"winbindd socket directory", "wb"},
	} {
		line("%s = %s", d.name, filepath.Join(dir, d.below))
	}
	for key, file := range map[string]string{"tls cafile": "ca.pem", "tls certfile": "server.pem", "tls keyfile": "server.key"} {
		line("%s = %s", key, filepath.Join(dir, file))
	}
	line("[sysvol]\npath = %s/state/sysvol\nread only = no", dir)
	for _, d := range []string{"run", "ncalrpc"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil { //nolint:gosec // samba wants it so
			return err
		}
	}
	return os.WriteFile(configFile(dir), []byte(b.String()), 0o600)
}

// run runs a program to its end; the error holds what it said.
func run(ctx context.Context, name string, args ...string) error {
	path, err := program(name)
	if err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, path, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, args[0], err, out)
	}
	return nil
}
