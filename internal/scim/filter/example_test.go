package filter_test

import (
	"fmt"

	"github.com/mmsync/mmsync/internal/scim/filter"
)

func ExampleParse() {
	e, err := filter.Parse(`userType EQ "Employee" and (emails[type eq "work"] or title pr)`, filter.Options{})
	fmt.Println(e, err)
	_, err = filter.Parse(`userName is "x"`, filter.Options{})
	fmt.Println(err)
	// Output:
	// userType eq "Employee" and (emails[type eq "work"] or title pr) <nil>
	// expected an operator (eq, ne, co, sw, ew, gt, ge, lt, le, pr) but found "is" at offset 9
}

func ExampleParsePath() {
	path, err := filter.ParsePath(`urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value`, filter.Options{})
	fmt.Println(path.Attr.URN, path.Attr.Name, path.Attr.Sub, err)
	path, err = filter.ParsePath(`addresses[type eq "work" and primary eq true].locality`, filter.Options{})
	fmt.Println(path.Attr, path.Filter, err)
	// Output:
	// urn:ietf:params:scim:schemas:extension:enterprise:2.0:User manager value <nil>
	// addresses.locality type eq "work" and primary eq true <nil>
}

func ExampleEqualities() {
	e, _ := filter.Parse(`userName eq "nora" and (emails[value eq "n@example.org"] and not (active eq false))`, filter.Options{})
	for _, must := range filter.Equalities(e) {
		fmt.Println(must.Attr, must.Value)
	}
	// Output:
	// userName nora
	// emails.value n@example.org
}
