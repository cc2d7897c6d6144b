// Package scim is a SCIM 2.0 service provider, RFC 7643 and RFC 7644 with the
// cursors of RFC 9865: an http.Handler over a Backend that keeps resources. It
// reads requests, leniently where it is told to, checks them against schemas,
// applies PATCH to a copy, and answers by the RFCs whatever is asked.
//
// It knows neither where resources are kept nor what they mean: it imports
// nothing of this module but its own filters. It has no state of its own and no
// globals, and a Handler serves any number of requests at once.
package scim
