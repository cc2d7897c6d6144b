// Package admin answers those who watch mmsync: whether it is alive, whether all it
// needs is well, and what it has counted. What is looked at, and how, it is given as
// probes; a page for people is mounted beside it.
//
// It is not an interface to change anything by, it knows neither Mattermost nor a
// directory, and it counts nobody: labels come from closed sets.
package admin
