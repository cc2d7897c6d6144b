// Package ldaptest gives tests an LDAP server in their own process: for what only
// Active Directory does, and for faults that no real server can be made to show.
//
// A Server plays one Kind of directory. It holds a tree that a test changes while
// it is read, answers binds and searches as that kind does, and goes wrong in one
// of the ways that Faults lists, at a place the test chooses or leaves to chance:
//
//	srv := ldaptest.Start(t, ldaptest.Options{Kind: ldaptest.ActiveDirectory, People: 2_500})
//	srv.Delete(ldaptest.ActiveDirectory.PersonDN(7))
//	srv.Fail(ldaptest.FaultNamed(t, "cut-mid-page"), ldaptest.At{Entry: 1_200})
//
// It is held to slapd and to Samba by tests that ask all of them the same. What no
// server was seen to do stands in the comments with its source.
//
// It takes no writes over the wire, checks no access rights but those that Options
// speak of, knows no SASL, and knows nothing of mmsync.
package ldaptest
