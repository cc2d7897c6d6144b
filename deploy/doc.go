// Package deploy holds ways of running mmsync as files: systemd units, Kubernetes
// manifests, a Compose file and what packages are made from. The Go code here is tests
// of them and nothing else; it is a module of its own, so that what the tests need does
// not become what mmsync needs.
package deploy
