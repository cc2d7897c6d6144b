// Package config turns one YAML file into validated plain structs, or into
// every fault the file holds at once, each with its line, column and path.
//
// It is not where anything is opened, compiled or connected: expressions, LDAP
// filters and attribute names are kept as text with their position (Expr) for
// the package that compiles them, and secrets are handed on unread (Secret).
// It imports the standard library and the YAML parser, nothing of mmsync.
//
// The file is read strictly. Unknown keys, keys given twice, YAML tags, anchors
// and aliases are refused, so that every value in force stands in the file once,
// where its fault can point. ${NAME} is replaced inside scalars after the YAML
// is parsed, so that no value of a variable can change the document; $${ writes
// a literal ${.
package config
