package mmsim

import (
	"net/http"
	"strings"
)

type handler func(s *Server, q *request) reply

// route is one line of the API. Path words in braces are parameters; their
// name decides which characters they take, as the real router's patterns do.
type route struct {
	method, path string
	handle       handler
	public       bool     // answered without a session
	write        bool     // runs alone
	race         raceKind // what it loses or undoes when another write of the account comes with it
	hashes       bool
	words        []string
}

func get(path string, h handler) route { return route{method: http.MethodGet, path: path, handle: h} }

func post(path string, h handler) route { return route{method: http.MethodPost, path: path, handle: h} }

func put(path string, h handler) route { return route{method: http.MethodPut, path: path, handle: h} }

func del(path string, h handler) route {
	return route{method: http.MethodDelete, path: path, handle: h}
}

func (r route) open() route    { r.public = true; return r }
func (r route) writes() route  { r.write = true; return r }
func (r route) hashing() route { r.write, r.hashes = true, true; return r }

func (r route) racing(k raceKind) route { r.write, r.race = true, k; return r }

type router struct{ byShape map[string][]route }

const apiPrefix = "/api/v4/"

func newRouter(p Profile) *router {
	rt := &router{byShape: map[string][]route{}}
	for _, table := range [][]route{
		userRoutes(p), accountRoutes(p), botRoutes(), teamRoutes(), channelRoutes(p), systemRoutes(p),
	} {
		for _, r := range table {
			r.words = strings.Split(r.path, "/")
			key := shape(r.method, len(r.words))
			rt.byShape[key] = append(rt.byShape[key], r)
		}
	}
	return rt
}

func shape(method string, words int) string { return method + strings.Repeat("/", words) }

// find returns nil for what the real router does not know: another method, a
// trailing slash, HEAD, a parameter with characters it does not take.
func (rt *router) find(method, path string) (*route, map[string]string) {
	rest, found := strings.CutPrefix(path, apiPrefix)
	if !found {
		return nil, nil
	}
	words := strings.Split(rest, "/")
	candidates := rt.byShape[shape(method, len(words))]
	for i := range candidates {
		if params, ok := candidates[i].match(words); ok {
			return &candidates[i], params
		}
	}
	return nil, nil
}

func (r *route) match(words []string) (map[string]string, bool) {
	params := map[string]string{}
	for i, want := range r.words {
		if !strings.HasPrefix(want, "{") {
			if want != words[i] {
				return nil, false
			}
			continue
		}
		name := want[1 : len(want)-1]
		if !takes(name, words[i]) {
			return nil, false
		}
		params[name] = words[i]
	}
	return params, true
}

func takes(name, word string) bool {
	if word == "" {
		return false
	}
	more := ""
	switch name {
	case "email":
		return true
	case "username":
		more = "_-."
	case "name", "teamname":
		more = "_-"
	}
	for i := range len(word) {
		c := word[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte(more, c) < 0 {
			return false
		}
	}
	return true
}
