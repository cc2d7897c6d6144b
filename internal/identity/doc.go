// Package identity holds the words the rest of mmsync is written in: Key,
// Identity, Account, Link, Roles, Memberships, Auth and Snapshot, as plain values.
//
// It is not a place for behaviour: nothing here reads, writes, logs, knows the
// time or knows that Mattermost, LDAP or a database exist. It imports the
// standard library only, and every other package may import it.
package identity
