package mmsim

import (
	"cmp"
	"slices"
	"sync"
)

// pastPlaces is what a read replica that lags still shows of teams and channels: who was
// in them until a time.
type pastPlaces struct {
	until    int64
	teams    map[string]*team
	channels map[string]*channel
}

// keepPlaces is called before a write. It needs the lock.
func (s *Server) keepPlaces(now int64) {
	if !s.replica {
		return
	}
	past := s.db.clone()
	s.past = append(s.past, pastPlaces{until: now, teams: past.teams, channels: past.channels})
}

// seenTeamMember and seenMember are how the server finds one membership: SqlTeamStore's
// and SqlChannelStore's GetMember read from a replica (DBXFromContext, unless the context
// asks for the master), for a GET of it, for whether somebody who is to join a channel is
// in its team, and for a change of roles.
func (s *Server) seenTeamMember(q *request, teamID, userID string) *member {
	t := s.db.teams[teamID]
	if past := s.placesThen(q); past != nil {
		t = past.teams[teamID]
	}
	if t == nil {
		return nil
	}
	return t.members[userID]
}

func (s *Server) seenMember(q *request, channelID, userID string) *member {
	c := s.db.channels[channelID]
	if past := s.placesThen(q); past != nil {
		c = past.channels[channelID]
	}
	if c == nil {
		return nil
	}
	return c.members[userID]
}

func (s *Server) placesThen(q *request) *pastPlaces {
	if q.memberLag == 0 {
		return nil
	}
	for i := range s.past {
		if s.past[i].until > q.now-q.memberLag {
			return &s.past[i]
		}
	}
	return nil
}

// movedRows is where rows of channels' lists of members have gone, see [Fault].RowsMove.
type movedRows struct {
	mu   sync.Mutex
	last int
	at   map[string]int // by channel and account
}

func (r *movedRows) toEnd(channelID string, m *member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.at == nil {
		r.at = map[string]int{}
	}
	r.last++
	r.at[channelID+m.userID] = r.last
}

func (r *movedRows) order(channelID string, rows []*member) []*member {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.at) > 0 {
		slices.SortStableFunc(rows, func(a, b *member) int { return cmp.Compare(r.at[channelID+a.userID], r.at[channelID+b.userID]) })
	}
	return rows
}
