package scim

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// The URNs of the schemas that RFC 7643 defines.
const (
	userURN         = "urn:ietf:params:scim:schemas:core:2.0:User"
	groupURN        = "urn:ietf:params:scim:schemas:core:2.0:Group"
	enterpriseURN   = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
	schemaURN       = "urn:ietf:params:scim:schemas:core:2.0:Schema"
	resourceTypeURN = "urn:ietf:params:scim:schemas:core:2.0:ResourceType"
)

// Schema is a schema of RFC 7643 section 7.
type Schema struct {
	ID, Name, Description string
	Attributes            []Attribute
}

// Attribute is one attribute of a Schema, all characteristics written out.
type Attribute struct {
	Name, Description string
	Type              Type
	MultiValued       bool
	Required          bool
	CaseExact         bool
	Mutability        Mutability
	Returned          Returned
	Uniqueness        Uniqueness
	CanonicalValues   []string
	ReferenceTypes    []string
	SubAttributes     []Attribute
	// Sensitive attributes are refused in filters with 403, RFC 7644 section 7.5.2:
	// what is never answered must not be guessed either.
	Sensitive bool
}

// Type is an attribute's data type, RFC 7643 section 2.3.
type Type string

// The data types.
const (
	String    Type = "string"
	Boolean   Type = "boolean"
	Decimal   Type = "decimal"
	Integer   Type = "integer"
	DateTime  Type = "dateTime"
	Binary    Type = "binary"
	Reference Type = "reference"
	Complex   Type = "complex"
)

// Mutability tells when an attribute may be written, RFC 7643 section 2.2.
type Mutability string

// Returned tells when an attribute is answered, RFC 7643 section 2.2.
type Returned string

// Uniqueness tells where an attribute's values are unique, RFC 7643 section 2.2.
type Uniqueness string

// The characteristics' values.
const (
	ReadWrite Mutability = "readWrite"
	ReadOnly  Mutability = "readOnly"
	Immutable Mutability = "immutable"
	WriteOnly Mutability = "writeOnly"

	ReturnedDefault Returned = "default"
	ReturnedAlways  Returned = "always"
	ReturnedNever   Returned = "never"
	ReturnedRequest Returned = "request"

	UniqueNone   Uniqueness = "none"
	UniqueServer Uniqueness = "server"
	UniqueGlobal Uniqueness = "global"
)

// The schemas of RFC 7643 section 8.7, with all characteristics written out.
//
//go:embed schemas/*.json
var documents embed.FS

// embedded reads one of our own documents, of which a test reads all.
func embedded(name string) *Schema {
	text, err := documents.ReadFile("schemas/" + name + ".json")
	if err != nil {
		panic(err)
	}
	s, err := ReadSchema(text)
	if err != nil {
		panic(err)
	}
	return s
}

// MetaSchemas gives the schemas of the discovery endpoints' own resources, RFC 7643
// section 8.7.2; that of ServiceProviderConfig has the pagination of RFC 9865.
func MetaSchemas() []*Schema {
	return []*Schema{embedded("schema"), embedded("resource_type"), embedded("service_provider_config")}
}

// schemaDocument and attributeDocument are the form of RFC 7643 section 7.
type schemaDocument struct {
	Schemas     []string            `json:"schemas"`
	ID          string              `json:"id"`
	Name        string              `json:"name"`
	Description string              `json:"description"`
	Attributes  []attributeDocument `json:"attributes"`
	Meta        json.RawMessage     `json:"meta"`
}

type attributeDocument struct {
	Name            string              `json:"name"`
	Type            Type                `json:"type"`
	MultiValued     bool                `json:"multiValued"`
	Description     string              `json:"description"`
	Required        bool                `json:"required"`
	CanonicalValues []string            `json:"canonicalValues"`
	CaseExact       bool                `json:"caseExact"`
	Mutability      Mutability          `json:"mutability"`
	Returned        Returned            `json:"returned"`
	Uniqueness      Uniqueness          `json:"uniqueness"`
	ReferenceTypes  []string            `json:"referenceTypes"`
	SubAttributes   []attributeDocument `json:"subAttributes"`
}

// ReadSchema reads a schema document of RFC 7643 section 8.7.1. A characteristic
// that is left out has the default of section 2.2; one that is unknown, an unknown
// value and a name used twice are faults.
func ReadSchema(document []byte) (*Schema, error) {
	d := json.NewDecoder(bytes.NewReader(document))
	d.DisallowUnknownFields()
	var doc schemaDocument
	if err := d.Decode(&doc); err != nil {
		return nil, fmt.Errorf("read schema: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("read schema: text after the document")
	}
	if !strings.Contains(doc.ID, ":") {
		return nil, fmt.Errorf("read schema: the id %q is no URI", doc.ID)
	}
	attributes, err := readAttributes(doc.Attributes)
	if err != nil {
		return nil, fmt.Errorf("read schema %s: %w", doc.ID, err)
	}
	return &Schema{ID: doc.ID, Name: doc.Name, Description: doc.Description, Attributes: attributes}, nil
}

func readAttributes(docs []attributeDocument) ([]Attribute, error) {
	var list []Attribute
	for _, d := range docs {
		if find(list, d.Name) != nil {
			return nil, fmt.Errorf("two attributes %s", d.Name)
		}
		a := Attribute{
			Name: d.Name, Description: d.Description, Type: or(d.Type, String),
			MultiValued: d.MultiValued, Required: d.Required, CaseExact: d.CaseExact,
			Mutability: or(d.Mutability, ReadWrite), Returned: or(d.Returned, ReturnedDefault), Uniqueness: or(d.Uniqueness, UniqueNone),
			CanonicalValues: d.CanonicalValues, ReferenceTypes: d.ReferenceTypes,
			Sensitive: d.Returned == ReturnedNever,
		}
		if err := a.check(); err != nil {
			return nil, fmt.Errorf("attribute %s: %w", d.Name, err)
		}
		subs, err := readAttributes(d.SubAttributes)
		if err != nil {
			return nil, fmt.Errorf("attribute %s: %w", d.Name, err)
		}
		if (a.Type == Complex) != (len(subs) > 0) {
			return nil, fmt.Errorf("attribute %s: complex attributes have sub-attributes, and others have none", d.Name)
		}
		a.SubAttributes = subs
		list = append(list, a)
	}
	return list, nil
}

func or[T ~string](value, otherwise T) T {
	if value == "" {
		return otherwise
	}
	return value
}

// check refuses a name or characteristic that RFC 7643 does not have.
func (a *Attribute) check() error {
	if !validName(a.Name) {
		return errors.New("a name has letters, digits, _ and -, and begins with a letter or $")
	}
	if !slices.Contains([]Type{String, Boolean, Decimal, Integer, DateTime, Binary, Reference, Complex}, a.Type) {
		return fmt.Errorf("no type %q", a.Type)
	}
	if !slices.Contains([]Mutability{ReadWrite, ReadOnly, Immutable, WriteOnly}, a.Mutability) {
		return fmt.Errorf("no mutability %q", a.Mutability)
	}
	if !slices.Contains([]Returned{ReturnedDefault, ReturnedAlways, ReturnedNever, ReturnedRequest}, a.Returned) {
		return fmt.Errorf("no returned %q", a.Returned)
	}
	if !slices.Contains([]Uniqueness{UniqueNone, UniqueServer, UniqueGlobal}, a.Uniqueness) {
		return fmt.Errorf("no uniqueness %q", a.Uniqueness)
	}
	return nil
}

// validName tells an ATTRNAME of RFC 7643 section 2.1; "$ref" is one, too.
func validName(name string) bool {
	name = strings.TrimPrefix(name, "$")
	for i := range len(name) {
		c := lower(name[i])
		letter := c >= 'a' && c <= 'z'
		if !letter && (i == 0 || (c < '0' || c > '9') && c != '_' && c != '-') {
			return false
		}
	}
	return name != ""
}

// Document gives the schema as the discovery endpoint answers it, RFC 7643 section
// 8.7.1, all characteristics written out, without meta.
func (s *Schema) Document() Object {
	return Object{
		"schemas": []any{schemaURN}, "id": s.ID, "name": s.Name, "description": s.Description,
		"attributes": attributeObjects(s.Attributes),
	}
}

func attributeObjects(attributes []Attribute) []any {
	list := make([]any, 0, len(attributes))
	for i := range attributes {
		a := &attributes[i]
		o := Object{
			"name": a.Name, "type": string(a.Type), "multiValued": a.MultiValued, "description": a.Description,
			"required": a.Required, "caseExact": a.CaseExact, "mutability": string(a.Mutability),
			"returned": string(a.Returned), "uniqueness": string(a.Uniqueness),
		}
		if len(a.CanonicalValues) > 0 {
			o["canonicalValues"] = anySlice(a.CanonicalValues)
		}
		if len(a.ReferenceTypes) > 0 {
			o["referenceTypes"] = anySlice(a.ReferenceTypes)
		}
		if len(a.SubAttributes) > 0 {
			o["subAttributes"] = attributeObjects(a.SubAttributes)
		}
		list = append(list, o)
	}
	return list
}

func anySlice(texts []string) []any {
	list := make([]any, len(texts))
	for i, t := range texts {
		list[i] = t
	}
	return list
}
