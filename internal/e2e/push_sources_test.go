package e2e_test

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPush_TwoSources(t *testing.T) {
	t.Parallel()
	for _, st := range stores() {
		t.Run(st.name+"/a client neither sees nor changes what another source has", func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, st, settings{scim: []string{"east", "west"}})
			s := w.serve()
			east, west := w.provider("east").to(s), w.provider("west").to(s)
			db := w.observed()
			user := east.create(1)
			group := east.do(http.MethodPost, "/Groups", object{
				"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:Group"}, "displayName": "Pilots", "members": []object{{"value": user}},
			}).id()
			own := west.create(2)
			w.calm(db, 10*time.Second)
			before := []answer{east.user(user), east.do(http.MethodGet, "/Groups/"+group, nil)}

			change := func(attr string, v any) object {
				return object{
					"schemas":    []string{"urn:ietf:params:scim:api:messages:2.0:PatchOp"},
					"Operations": []object{{"op": "replace", "path": attr, "value": v}},
				}
			}
			bodies := map[string]map[string]object{
				"/Users/" + user: {
					http.MethodPut:   employee(3, with("active", false)),
					http.MethodPatch: change("active", false),
				},
				"/Groups/" + group: {
					http.MethodPut:   {"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:Group"}, "displayName": "Nobody"},
					http.MethodPatch: change("displayName", "Nobody"),
				},
			}
			for path, of := range bodies {
				for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodPatch, http.MethodDelete} {
					a, err := west.try(method, path, of[method])
					require.NoError(t, err)
					require.Equal(t, http.StatusNotFound, a.status, "%s %s: %v", method, path, a.body)
				}
			}
			for path, ask := range map[string][]string{
				"/Users":  {`userName eq "p0001@example.test"`, fmt.Sprintf("id eq %q", user), `externalId eq "x-p0001"`, `emails.value sw "p0001"`, fmt.Sprintf("groups.value eq %q", group)},
				"/Groups": {`displayName eq "Pilots"`, fmt.Sprintf("id eq %q", group), fmt.Sprintf("members.value eq %q", user), "id pr"},
			} {
				for _, filter := range ask {
					a := west.do(http.MethodGet, path+"?filter="+url.QueryEscape(filter), nil)
					require.EqualValues(t, 0, a.body["totalResults"], filter)
					a = west.do(http.MethodPost, path+"/.search", object{
						"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:SearchRequest"}, "filter": filter,
					})
					require.EqualValues(t, 0, a.body["totalResults"], filter)
				}
			}
			all := west.do(http.MethodGet, "/Users", nil)
			require.EqualValues(t, 1, all.body["totalResults"])
			a := west.do(http.MethodPost, "/Bulk", object{
				"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:BulkRequest"},
				"Operations": []object{
					{"method": http.MethodDelete, "path": "/Users/" + user},
					{"method": http.MethodPatch, "path": "/Users/" + user, "data": change("active", false)},
					{"method": http.MethodDelete, "path": "/Groups/" + group},
				},
			})
			results, _ := a.body["Operations"].([]any)
			require.Len(t, results, 3)
			for _, r := range results {
				o, _ := r.(object)
				require.Equal(t, "404", fmt.Sprint(o["status"]))
			}
			// The other's person may be a member of one's own group, by an id that says
			// nothing: it shows nothing of him, and changes nothing for him.
			mine := west.do(http.MethodPost, "/Groups", object{
				"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:Group"}, "displayName": "Pilots", "members": []object{{"value": user}, {"value": own}},
			})
			require.NotContains(t, fmt.Sprint(mine.body), "p0001")

			// A name of one source may be one of the other: what Mattermost makes of it
			// waits, and nothing is refused.
			same := west.create(1)
			require.NotEmpty(t, same)
			within(t, 10*time.Second, "he waits for the name", func() bool {
				state, reason := west.user(same).progress()
				return state == "pending" && reason == "email_taken"
			})
			west.patch(same, object{"active": false})
			west.do(http.MethodDelete, "/Users/"+same, nil)
			w.calm(db, 10*time.Second)
			require.True(t, w.user("p0001").Active(), "the other source's person")
			require.Equal(t, "Clerk", w.user("p0001").Position)
			require.Equal(t, before[0].body, east.user(user).body)
			require.Equal(t, before[1].body, east.do(http.MethodGet, "/Groups/"+group, nil).body)

			east.token = east.token[:len(east.token)-1] + "_"
			for _, method := range []string{http.MethodGet, http.MethodDelete} {
				a, err := east.try(method, "/Users/"+user, nil)
				require.NoError(t, err)
				require.Equal(t, http.StatusUnauthorized, a.status)
			}
		})
	}
}
