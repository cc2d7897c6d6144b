package scim

import (
	"cmp"
	"slices"

	"github.com/mmsync/mmsync/internal/scim/filter"
)

// Lenient are the deviations from the RFCs that a Handler puts up with, by name.
// Strict is the zero value.
type Lenient map[Quirk]bool

// Quirk names one deviation. docs/scim.md lists who sends it.
type Quirk string

// Noted is called with each Quirk that a request made use of, once.
type Noted func(Quirk)

// Deviations in how values are written, in bodies and in PATCH.
const (
	// QuirkEmptyText is "" for an attribute without a value. Entra clears attributes
	// with it, a manager as {"value":""}; Okta sends "middleName":"".
	QuirkEmptyText Quirk = "body.emptyText"
	// QuirkNumberForText is a number for a text: "employeeNumber":4711. Home-grown
	// clients.
	QuirkNumberForText Quirk = "body.numberForText"
	// QuirkTextForNumber is a number in quotes. Home-grown clients.
	QuirkTextForNumber Quirk = "body.textForNumber"
	// QuirkTextForBoolean is a boolean in quotes, in any case: "active":"False". Entra
	// without aadOptscim062020.
	QuirkTextForBoolean Quirk = "body.textForBoolean"
	// QuirkSingleForList is one element without its list: "emails":{"value":"x"}.
	// Home-grown clients; Microsoft's Postman collection for members.
	QuirkSingleForList Quirk = "body.singleForList"
	// QuirkListForSingle is a list of one for a single-valued attribute:
	// "value":[{"value":"u2"}] for a manager. Entra.
	QuirkListForSingle Quirk = "body.listForSingle"
	// QuirkBareElement is an element without its object: "members":["u3"].
	// Microsoft's Postman collection.
	QuirkBareElement Quirk = "body.bareElement"
	// QuirkBareComplex is a value without its object for a single-valued attribute:
	// "manager":"u2". Entra.
	QuirkBareComplex Quirk = "body.bareComplex"
	// QuirkObjectForSimple is {"value":"Nora"} for "Nora". Entra, in its old form of
	// PATCH.
	QuirkObjectForSimple Quirk = "body.objectForSimple"
	// QuirkRoleJSON is a role whose value is a JSON object in a text. Entra, with
	// SingleAppRoleAssignment and AppRoleAssignmentsComplex.
	QuirkRoleJSON Quirk = "body.roleJSON"
	// QuirkDisplayName is displayName in an element that has display. Entra in roles,
	// Microsoft's Postman collection in members.
	QuirkDisplayName Quirk = "body.displayName"
)

// Deviations in names.
const (
	// QuirkURNKey is a key URN:NAME instead of NAME in the URN's object. Entra, in a
	// PATCH without path.
	QuirkURNKey Quirk = "body.urnKey"
	// QuirkDottedKey is a key NAME.SUB instead of SUB in NAME's object. Entra, in a
	// PATCH without path.
	QuirkDottedKey Quirk = "body.dottedKey"
	// QuirkExtensionWithoutURN is an attribute of an extension named like one of the
	// core: manager, department. Entra.
	QuirkExtensionWithoutURN Quirk = "name.extensionWithoutURN"
	// QuirkUnknownAttribute is an attribute or extension that no schema has; it is
	// passed over. Everybody.
	QuirkUnknownAttribute Quirk = "body.unknownAttribute"
	// QuirkNoSchemas is a body that does not list its main schema. Home-grown clients.
	QuirkNoSchemas Quirk = "body.noSchemas"
	// QuirkUnknownSchema is a schema listed that the resource does not have; it is
	// passed over. Entra (ADSCIM), Okta (custom groups).
	QuirkUnknownSchema Quirk = "body.unknownSchema"
	// QuirkUnlistedExtension is an extension that the body has and does not list.
	// Entra.
	QuirkUnlistedExtension Quirk = "body.unlistedExtension"
)

// Deviations in what a PATCH does; those in its document are the Handler's.
const (
	// QuirkRemoveValues is a remove that says in its value which elements it means. By
	// the RFC it empties the attribute. Entra, JumpCloud, authentik.
	QuirkRemoveValues Quirk = "patch.removeValues"
	// QuirkCreateElement is a filter that selects no element where a value is to be
	// put; one is made of what the filter says is equal. Entra.
	QuirkCreateElement Quirk = "patch.createElement"
	// QuirkFilterOnSingle is a filter after a single-valued attribute:
	// manager[value eq "u2"]. Entra.
	QuirkFilterOnSingle Quirk = "patch.filterOnSingle"
	// QuirkUnknownPath is a path that no schema has; its operation is passed over.
	// Everybody.
	QuirkUnknownPath Quirk = "patch.unknownPath"
	// QuirkPathAsKey is a path with a filter as a key of a value without path. Entra.
	QuirkPathAsKey Quirk = "patch.pathAsKey"
	// QuirkSchemasAttribute is the attribute schemas among those to be changed; it is
	// passed over. authentik.
	QuirkSchemasAttribute Quirk = "patch.schemasAttribute"
)

// Deviations in parameters and filters; those in the grammar of filters are named by
// package filter.
const (
	// QuirkProjectionFilter is a filter in attributes or excludedAttributes:
	// emails[type eq "work"] is taken as emails. Microsoft's Postman collection.
	QuirkProjectionFilter Quirk = "query.projectionFilter"
	// QuirkUnknownInFilter is a filter over an attribute that no schema has; no
	// resource has a value there. Everybody.
	QuirkUnknownInFilter Quirk = "filter.unknownAttribute"
)

// QuirkDoc is a Quirk as it is documented.
type QuirkDoc struct {
	Name Quirk
	Text string // what is sent, and what it is taken for
	Who  string // who sends it
}

// Quirks gives all deviations that can be put up with, ordered by name.
func Quirks() []QuirkDoc {
	list := slices.Concat(valueQuirks(), nameQuirks(), patchQuirks(), filterQuirks(), RequestQuirks())
	slices.SortFunc(list, func(a, b QuirkDoc) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// AllLenient puts up with everything that Quirks lists.
func AllLenient() Lenient {
	l := Lenient{}
	for _, q := range Quirks() {
		l[q.Name] = true
	}
	return l
}

const (
	anybody   = "any client"
	homeGrown = "home-grown clients"
	entra     = "Microsoft Entra ID"
	postman   = "Microsoft's Postman collection"
)

func valueQuirks() []QuirkDoc {
	return []QuirkDoc{
		{QuirkEmptyText, `an empty text for an attribute without a value`, entra + ", Okta"},
		{QuirkNumberForText, `a number for a text: "employeeNumber": 4711`, homeGrown},
		{QuirkTextForNumber, `a number in quotes`, homeGrown},
		{QuirkTextForBoolean, `a boolean in quotes, in any case: "active": "False"`, entra + " without aadOptscim062020"},
		{QuirkSingleForList, `one element without its list: "emails": {"value": "x"}`, homeGrown + ", " + postman},
		{QuirkListForSingle, `a list of one for a single value: "manager": [{"value": "u2"}]`, entra},
		{QuirkBareElement, `an element without its object: "members": ["u3"]`, postman},
		{QuirkBareComplex, `a value without its object: "manager": "u2"`, entra},
		{QuirkObjectForSimple, `an object around a single value: {"value": "Nora"} for "Nora"`, entra},
		{QuirkRoleJSON, `a role whose value is a JSON object in a text; its value and display are taken`, entra + " with SingleAppRoleAssignment or AppRoleAssignmentsComplex"},
		{QuirkDisplayName, `displayName in an element that has display`, entra + " in roles, " + postman + " in members"},
	}
}

func nameQuirks() []QuirkDoc {
	return []QuirkDoc{
		{QuirkURNKey, `a key with a URN instead of an object under the URN`, entra},
		{QuirkDottedKey, `a key such as name.givenName instead of an object`, entra},
		{QuirkExtensionWithoutURN, `an attribute of an extension without its URN: manager, department`, entra},
		{QuirkUnknownAttribute, `an attribute or extension that no schema has; it is passed over`, anybody},
		{QuirkNoSchemas, `a body that does not list its main schema`, homeGrown},
		{QuirkUnknownSchema, `a schema listed that the resource does not have; it is passed over`, entra + ", Okta"},
		{QuirkUnlistedExtension, `an extension that is in the body and not listed in its schemas`, entra},
	}
}

func patchQuirks() []QuirkDoc {
	return []QuirkDoc{
		{QuirkRemoveValues, `a remove whose value says which elements are meant; by the RFC it removes all`, entra + ", JumpCloud, authentik"},
		{QuirkCreateElement, `a filter that selects no element; one is made of what the filter says is equal`, entra},
		{QuirkFilterOnSingle, `a filter after a single-valued attribute: manager[value eq "u2"]`, entra},
		{QuirkUnknownPath, `a path that no schema has; the operation is passed over`, anybody},
		{QuirkPathAsKey, `a path with a filter as a key of a value without path`, entra},
		{QuirkSchemasAttribute, `the attribute schemas among those to be changed; it is passed over`, "authentik"},
	}
}

func filterQuirks() []QuirkDoc {
	return []QuirkDoc{
		{QuirkProjectionFilter, `a filter in attributes: emails[type eq "work"] is taken as emails`, postman},
		{QuirkUnknownInFilter, `a filter over an attribute that no schema has; no resource has a value there`, anybody},
		{Quirk(filter.ValuePathSub), `a comparison behind brackets: emails[type eq "work"].value eq "x"`, entra},
		{Quirk(filter.BareWord), `a value in a filter without quotes: userName eq nora`, entra + ", " + postman},
		{Quirk(filter.TimeSpace), `a time whose + became a space in the query`, postman},
		{Quirk(filter.BoolText), `a boolean in quotes in a filter: primary eq "True"`, entra},
	}
}
