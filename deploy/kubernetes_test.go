package deploy_test

import (
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// manifest reads one object; a key that its type does not have is an error.
func manifest[T any](t *testing.T, file string) T {
	t.Helper()
	text := read(t, filepath.Join("kubernetes", file))
	require.NotContains(t, text, "\n---", "%s: one object a file", file)
	var v T
	require.NoError(t, yaml.UnmarshalStrict([]byte(text), &v), file)
	return v
}

type everything struct {
	config     corev1.ConfigMap
	secret     corev1.Secret
	deployment appsv1.Deployment
	service    corev1.Service
	budget     policyv1.PodDisruptionBudget
	network    networkingv1.NetworkPolicy
}

func manifests(t *testing.T) everything {
	t.Helper()
	return everything{
		manifest[corev1.ConfigMap](t, "configmap.yaml"), manifest[corev1.Secret](t, "secret.yaml"),
		manifest[appsv1.Deployment](t, "deployment.yaml"), manifest[corev1.Service](t, "service.yaml"),
		manifest[policyv1.PodDisruptionBudget](t, "poddisruptionbudget.yaml"), manifest[networkingv1.NetworkPolicy](t, "networkpolicy.yaml"),
	}
}

func (e *everything) container() *corev1.Container {
	return &e.deployment.Spec.Template.Spec.Containers[0]
}

// Every file is known to these tests, says which type it is of, and names no namespace.
func TestKubernetes_decodesStrictly(t *testing.T) {
	t.Parallel()
	e := manifests(t)
	types := map[string]metav1.TypeMeta{
		"configmap.yaml": e.config.TypeMeta, "secret.yaml": e.secret.TypeMeta, "deployment.yaml": e.deployment.TypeMeta,
		"service.yaml": e.service.TypeMeta, "poddisruptionbudget.yaml": e.budget.TypeMeta, "networkpolicy.yaml": e.network.TypeMeta,
	}
	want := map[string]metav1.TypeMeta{
		"configmap.yaml": {Kind: "ConfigMap", APIVersion: "v1"}, "secret.yaml": {Kind: "Secret", APIVersion: "v1"},
		"deployment.yaml": {Kind: "Deployment", APIVersion: "apps/v1"}, "service.yaml": {Kind: "Service", APIVersion: "v1"},
		"poddisruptionbudget.yaml": {Kind: "PodDisruptionBudget", APIVersion: "policy/v1"},
		"networkpolicy.yaml":       {Kind: "NetworkPolicy", APIVersion: "networking.k8s.io/v1"},
	}
	require.Equal(t, want, types)
	for _, m := range []metav1.ObjectMeta{e.config.ObjectMeta, e.secret.ObjectMeta, e.deployment.ObjectMeta, e.service.ObjectMeta, e.budget.ObjectMeta, e.network.ObjectMeta} {
		require.Empty(t, m.Namespace)
		require.Equal(t, "mmsync", m.Name)
	}

	var list struct {
		APIVersion string   `json:"apiVersion"`
		Kind       string   `json:"kind"`
		Resources  []string `json:"resources"`
	}
	require.NoError(t, yaml.UnmarshalStrict([]byte(read(t, "kubernetes/kustomization.yaml")), &list))
	files, err := os.ReadDir("kubernetes")
	require.NoError(t, err)
	for _, f := range files {
		switch f.Name() {
		case "kustomization.yaml":
		case "secret.yaml":
			require.NotContains(t, list.Resources, f.Name(), "an example must not be put over what is there")
		default:
			require.Contains(t, want, f.Name())
			require.Contains(t, list.Resources, f.Name())
		}
	}
	require.Len(t, list.Resources, len(want)-1)
}

// The configuration loads, with nothing but the variables and files that the pod has.
func TestKubernetes_configurationLoads(t *testing.T) {
	t.Parallel()
	e := manifests(t)
	pod := e.deployment.Spec.Template.Spec
	mounts := map[string]string{}
	for _, m := range e.container().VolumeMounts {
		mounts[m.Name] = m.MountPath
	}
	var files []string
	var configured string
	for _, v := range pod.Volumes {
		require.Contains(t, mounts, v.Name)
		switch {
		case v.ConfigMap != nil:
			require.Equal(t, e.config.Name, v.ConfigMap.Name)
			configured = mounts[v.Name] + "/config.yaml"
		case v.Secret != nil:
			require.Equal(t, e.secret.Name, v.Secret.SecretName)
			require.Zero(t, *v.Secret.DefaultMode&0o007, "mmsync refuses a key that everybody may read")
			for name := range e.secret.StringData {
				files = append(files, mounts[v.Name]+"/"+name)
			}
			for name := range e.secret.Data {
				files = append(files, mounts[v.Name]+"/"+name)
			}
		}
	}
	require.Len(t, mounts, len(pod.Volumes))
	args := e.container().Args
	require.Equal(t, configured, args[slices.Index(args, "--config")+1])

	env := map[string]string{}
	for _, v := range e.container().Env {
		env[v.Name] = v.Value
	}
	c := loads(t, configured, e.config.Data["config.yaml"], env, files)
	require.Contains(t, files, c.Audit.KeyFile, "the key is the same for both replicas")
	require.Len(t, e.secret.Data["audit_key"], 32)
	require.Less(t, c.ShutdownTimeout, time.Duration(*pod.TerminationGracePeriodSeconds)*time.Second)

	ports := map[string]int32{}
	for _, p := range e.container().Ports {
		ports[p.Name] = p.ContainerPort
	}
	require.Equal(t, map[string]int32{"scim": port(t, c.SCIM.Listen), "admin": port(t, c.Admin.Listen)}, ports)
	require.Equal(t, "scim", e.service.Spec.Ports[0].TargetPort.StrVal)
	require.Len(t, e.service.Spec.Ports, 1, "health and metrics are for no service")
}

// Every command, flag and variable exists in the program.
func TestKubernetes_commandExists(t *testing.T) {
	t.Parallel()
	e := manifests(t)
	require.Empty(t, e.container().Command, "the image's own")
	commandExists(t, e.container().Args)
	for _, v := range e.container().Env {
		require.True(t, known(t, v.Name, e.config.Data["config.yaml"]), "nothing reads %s", v.Name)
	}
}

// known tells whether Go, the program or the configuration reads a variable.
func known(t *testing.T, name, configuration string) bool {
	t.Helper()
	if slices.Contains([]string{"GOMEMLIMIT", "GOMAXPROCS"}, name) || strings.Contains(configuration, "${"+name+"}") {
		return true
	}
	files, err := filepath.Glob("../cmd/mmsync/*.go")
	require.NoError(t, err)
	quoted := regexp.MustCompile(`"` + regexp.QuoteMeta(name) + `"`)
	return slices.ContainsFunc(files, func(f string) bool {
		return !strings.HasSuffix(f, "_test.go") && quoted.MatchString(read(t, f))
	})
}

// Health is asked where it is answered, and selectors meet.
func TestKubernetes_fitsTogether(t *testing.T) {
	t.Parallel()
	e := manifests(t)
	c := e.container()
	for path, probe := range map[string]*corev1.Probe{"/healthz": c.LivenessProbe, "/readyz": c.ReadinessProbe} {
		asked, err := url.Parse(probe.HTTPGet.Path)
		require.NoError(t, err)
		require.Equal(t, path, asked.Path)
		for _, part := range asked.Query()["exclude"] {
			if source, ok := strings.CutPrefix(part, "source "); ok {
				require.Contains(t, e.config.Data["config.yaml"], "- name: "+source+"\n")
			} else {
				require.Contains(t, read(t, "../internal/daemon/health.go"), `= "`+part+`"`, "there is no such part")
			}
		}
		require.Equal(t, "admin", probe.HTTPGet.Port.StrVal)
		require.Contains(t, read(t, "../internal/admin/handler.go"), `"GET `+path+`"`)
	}
	require.Equal(t, "/healthz", c.StartupProbe.HTTPGet.Path)
	labels := e.deployment.Spec.Template.Labels
	for _, selector := range []map[string]string{e.deployment.Spec.Selector.MatchLabels, e.service.Spec.Selector, e.budget.Spec.Selector.MatchLabels, e.network.Spec.PodSelector.MatchLabels} {
		require.NotEmpty(t, selector)
		for k, v := range selector {
			require.Equal(t, v, labels[k])
		}
	}
	require.EqualValues(t, 2, *e.deployment.Spec.Replicas)
	require.Less(t, e.budget.Spec.MinAvailable.IntVal, *e.deployment.Spec.Replicas, "a node can be drained")
	require.ElementsMatch(t, []networkingv1.PolicyType{"Ingress", "Egress"}, e.network.Spec.PolicyTypes)
}

func TestKubernetes_mayDoNothingItNeedNot(t *testing.T) {
	t.Parallel()
	e := manifests(t)
	pod, c := e.deployment.Spec.Template.Spec, e.container().SecurityContext
	require.False(t, *pod.AutomountServiceAccountToken)
	require.True(t, *pod.SecurityContext.RunAsNonRoot)
	require.Contains(t, read(t, "../Dockerfile"), "USER 65532:65532")
	require.EqualValues(t, 65532, *pod.SecurityContext.RunAsUser)
	require.EqualValues(t, 65532, *pod.SecurityContext.FSGroup)
	require.Equal(t, corev1.SeccompProfileTypeRuntimeDefault, pod.SecurityContext.SeccompProfile.Type)
	require.True(t, *c.ReadOnlyRootFilesystem)
	require.False(t, *c.AllowPrivilegeEscalation)
	require.Equal(t, []corev1.Capability{"ALL"}, c.Capabilities.Drop)
	require.Empty(t, c.Capabilities.Add)
	require.NotNil(t, e.container().Resources.Limits.Memory())
}
