// Package audit is the history that shows whether somebody changed it: events
// become rows, rows are sealed in batches under a key that the database does not
// hold, and Verify tells what became of them since.
//
// The values of people hang on salted digests, so that they can be forgotten, and
// whole batches pruned, and the rest still verifies.
//
// It stores nothing and knows no clock: state keeps what it makes, the engine says
// when. A seal proves that nobody without the key changed what was sealed; it
// proves nothing about whoever has the key.
package audit
