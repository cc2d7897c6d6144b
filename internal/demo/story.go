package demo

import "slices"

// Story is a company at three times. People have the same UUIDs throughout.
type Story struct {
	// Before is long ago: one person had joined.
	Before []Person
	// BeforeLeft is the same company after that person had left again.
	BeforeLeft []Person
	// First is the company that the first plan is about.
	First []Person
	// Second is what became of it: a leaver, a rename, a promotion, a return.
	Second []Person
	// Events say in words what changed between First and Second.
	Events []string
}

// Tell makes the story of a company of n people. Below six people nothing
// happens between First and Second but what n allows.
func Tell(n int) Story {
	first := People(n)
	if n < 6 {
		return Story{First: first, Second: slices.Clone(first)}
	}
	const (
		returning = 2
		leaving   = 3
		marrying  = 4
		promoted  = 5
	)
	s := Story{Before: []Person{first[returning]}, BeforeLeft: []Person{left(first[returning])}}
	first[returning] = left(first[returning])
	s.First = first
	second := slices.Clone(first)
	second[returning].Left = false
	second[leaving] = left(second[leaving])
	m := &second[marrying]
	old := m.GivenName + " " + m.Surname
	m.Surname = "Sommerfeld"
	m.UID = ascii(m.GivenName) + ".sommerfeld"
	m.Mail = m.UID + "@meadow.example"
	p := &second[promoted]
	p.Title = "Team lead"
	name := func(p Person) string { return p.GivenName + " " + p.Surname }
	s.Second = second
	s.Events = []string{
		name(second[leaving]) + " leaves the company",
		old + " marries and is now called " + name(*m),
		name(*p) + " is promoted to " + p.Title + ", " + p.Department,
		name(second[returning]) + ", who had left before, comes back",
	}
	return s
}

func left(p Person) Person {
	p.Left = true
	return p
}
