package deploy_test

import (
	"context"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"
)

func project(t *testing.T) (*types.Project, string) {
	t.Helper()
	dir := t.TempDir()
	// The secrets are made as a person makes them, in a copy.
	output(t, "cp", "-r", "compose.yaml", "compose", dir)
	output(t, filepath.Join(dir, "compose", "secrets.sh"))
	o, err := cli.NewProjectOptions([]string{filepath.Join(dir, "compose.yaml")}, cli.WithProfiles([]string{"*"}), cli.WithDotEnv)
	require.NoError(t, err)
	p, err := o.LoadProject(context.WithoutCancel(t.Context()))
	require.NoError(t, err, "as docker compose config reads it")
	return p, dir
}

func TestCompose_configurationLoads(t *testing.T) {
	t.Parallel()
	p, dir := project(t)
	s := p.Services["mmsync"]
	commandExists(t, s.Command)
	check := s.HealthCheck.Test
	require.Equal(t, []string{"CMD", "/usr/local/bin/mmsync"}, []string(check[:2]))
	require.Contains(t, read(t, "../Dockerfile"), `ENTRYPOINT ["/usr/local/bin/mmsync"]`)
	commandExists(t, check[2:])

	var files []string
	for _, secret := range s.Secrets {
		require.FileExists(t, p.Secrets[secret.Source].File)
		files = append(files, "/run/secrets/"+secret.Source)
	}
	configured := s.Command[slices.Index(s.Command, "--config")+1]
	require.Equal(t, configured, check[slices.Index(check, "--config")+1])
	var mounted bool
	var kept []string
	for _, v := range s.Volumes {
		if v.Target == configured {
			mounted = true
			require.Equal(t, filepath.Join(dir, "compose", "config.yaml"), v.Source)
			require.True(t, v.ReadOnly)
		} else if v.Type == types.VolumeTypeVolume {
			kept = append(kept, v.Target)
		}
	}
	require.True(t, mounted)
	c := loads(t, configured, read(t, "compose/config.yaml"), nil, files)
	require.Contains(t, kept, path.Dir(c.Audit.KeyFile), "the key outlives the container")
	require.Len(t, c.SecretFiles(), len(files), "a secret that nothing reads is not handed over")
	require.Less(t, c.ShutdownTimeout, time.Duration(*s.StopGracePeriod))
	require.EqualValues(t, port(t, c.Admin.Listen), s.Ports[0].Target)
	require.True(t, s.ReadOnly)
	require.Equal(t, []string{"ALL"}, s.CapDrop)
	require.Contains(t, s.SecurityOpt, "no-new-privileges:true")
}

// Nothing is open to more than this machine, and no secret is in a file that is kept in
// the repository.
func TestCompose_keepsToItself(t *testing.T) {
	t.Parallel()
	p, dir := project(t)
	require.Len(t, p.Services, 4)
	for _, s := range p.Services {
		for _, published := range s.Ports {
			require.Equal(t, "127.0.0.1", published.HostIP, s.Name)
		}
		for other := range s.DependsOn {
			if s.DependsOn[other].Condition == types.ServiceConditionHealthy && other != "mattermost" {
				require.NotNil(t, p.Services[other].HealthCheck, "%s waits for it", s.Name)
			}
		}
	}
	ignored := output(t, "git", "check-ignore", "--no-index", "compose/secrets/mattermost_token")
	require.NotEmpty(t, ignored)
	require.Contains(t, read(t, "../.dockerignore"), "/deploy/compose/secrets/")

	made, err := filepath.Glob(filepath.Join(dir, "compose", "secrets", "*"))
	require.NoError(t, err)
	require.Len(t, made, len(p.Secrets)+1)
	before := map[string]string{}
	for _, f := range made {
		before[f] = read(t, f)
	}
	output(t, filepath.Join(dir, "compose", "secrets.sh"))
	for f, was := range before {
		require.Equal(t, was, read(t, f), "what is there is left as it is")
	}
	url := before[filepath.Join(dir, "compose", "secrets", "mmsync_state_url")]
	require.Contains(t, url, ":"+strings.TrimSpace(before[filepath.Join(dir, "compose", "secrets", "mmsync_db_password")])+"@postgres/mmsync")
}
