// Package notice tells people who are not looking what needs them: it turns what
// the store shows into the conditions that last now, and brings each to the
// receivers of the configuration once, again after a while, and once more when it
// is over.
//
// It decides nothing, changes nobody, and nothing waits for it. What is to be told
// is worked out anew from the store each time, so that there is no queue to
// lose: a receiver that is away is told what still lasts when it is back.
package notice
