package mmsim

import (
	"maps"
	"slices"
	"strings"
	"sync"
)

// db is what a real server keeps in its database. Rows are never changed in
// place: a write puts a new row, so a clone is a copy of the maps and a reader
// may keep a row after the lock is gone.
type db struct {
	users    map[string]*User
	byName   map[string]string // username -> id; deactivated accounts hold theirs too
	byEmail  map[string]string
	byAuth   map[string]string   // auth data -> id; unique over all services
	sessions map[string]*session // by token
	pats     map[string]*pat     // by token
	teams    map[string]*team
	channels map[string]*channel
	bots     map[string]string // id -> owner
	order    *nameOrder

	groupNames map[string]bool // which no account may take

	countRemote  bool // 5.38 counts accounts of other servers
	activeHumans int
	activeBots   int
}

func newDB() *db {
	return &db{
		users:    map[string]*User{},
		byName:   map[string]string{},
		byEmail:  map[string]string{},
		byAuth:   map[string]string{},
		sessions: map[string]*session{},
		pats:     map[string]*pat{},
		teams:    map[string]*team{},
		channels: map[string]*channel{},
		bots:     map[string]string{},
		order:    &nameOrder{},
	}
}

func (d *db) clone() *db {
	c := *d
	c.users = maps.Clone(d.users)
	c.byName = maps.Clone(d.byName)
	c.byEmail = maps.Clone(d.byEmail)
	c.byAuth = maps.Clone(d.byAuth)
	c.bots = maps.Clone(d.bots)
	c.groupNames = maps.Clone(d.groupNames)
	c.sessions = make(map[string]*session, len(d.sessions))
	for k, v := range d.sessions {
		row := *v
		c.sessions[k] = &row
	}
	c.pats = make(map[string]*pat, len(d.pats))
	for k, v := range d.pats {
		row := *v
		c.pats[k] = &row
	}
	c.teams = make(map[string]*team, len(d.teams))
	for k, v := range d.teams {
		c.teams[k] = v.clone()
	}
	c.channels = make(map[string]*channel, len(d.channels))
	for k, v := range d.channels {
		c.channels[k] = v.clone()
	}
	c.order = &nameOrder{}
	return &c
}

// put stores a row under its id, replacing an older one.
func (d *db) put(u *User) {
	old := d.users[u.ID]
	if old != nil {
		d.unindex(old)
	}
	d.users[u.ID] = u
	d.byName[u.Username] = u.ID
	if u.Email != "" {
		d.byEmail[u.Email] = u.ID
	}
	if u.AuthData != "" {
		d.byAuth[u.AuthData] = u.ID
	}
	if u.IsBot {
		d.bots[u.ID] = u.OwnerID
	}
	d.count(u, 1)
	d.order.put(old, u)
}

func (d *db) remove(id string) {
	old := d.users[id]
	if old == nil {
		return
	}
	d.unindex(old)
	delete(d.users, id)
	d.order.put(old, nil)
}

func (d *db) unindex(u *User) {
	dropOwn(d.byName, u.Username, u.ID)
	dropOwn(d.byEmail, u.Email, u.ID)
	dropOwn(d.byAuth, u.AuthData, u.ID)
	delete(d.bots, u.ID)
	d.count(u, -1)
}

// dropOwn removes a key only while it still points at id: a stale row written
// back over a newer one must not unname somebody else.
func dropOwn(index map[string]string, key, id string) {
	if index[key] == id {
		delete(index, key)
	}
}

// count keeps the numbers of active accounts; those that came from another
// server are in none of them since 11.6.
func (d *db) count(u *User, n int) {
	if u.DeleteAt != 0 || u.IsRemote() && !d.countRemote {
		return
	}
	if u.IsBot {
		d.activeBots += n
	} else {
		d.activeHumans += n
	}
}

// byUsername returns all accounts in the order of the C collation. The slice
// must not be changed and is good only while the lock is held.
func (d *db) byUsername() []*User { return d.order.list(d.users) }

// nameOrder keeps the accounts sorted by username. It is built when a listing
// first asks for it, so that seeding many accounts costs one sort.
type nameOrder struct {
	mu     sync.Mutex // listings run side by side and may both find it unbuilt
	sorted []*User
	built  bool
}

func (o *nameOrder) list(users map[string]*User) []*User {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.built {
		o.sorted = make([]*User, 0, len(users))
		for _, u := range users {
			o.sorted = append(o.sorted, u)
		}
		slices.SortFunc(o.sorted, byName)
		o.built = true
	}
	return o.sorted
}

func (o *nameOrder) put(old, u *User) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.built {
		return
	}
	if old != nil {
		i, found := slices.BinarySearchFunc(o.sorted, old, byName)
		if !found {
			o.built = false
			return
		}
		if u != nil && u.Username == old.Username {
			o.sorted[i] = u
			return
		}
		o.sorted = slices.Delete(o.sorted, i, i+1)
	}
	if u != nil {
		i, _ := slices.BinarySearchFunc(o.sorted, u, byName)
		o.sorted = slices.Insert(o.sorted, i, u)
	}
}

func byName(a, b *User) int {
	if c := strings.Compare(a.Username, b.Username); c != 0 {
		return c
	}
	return strings.Compare(a.ID, b.ID)
}
