package explain

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Sheet is a page of parts. What it holds may come from anybody who can write into a
// source: String makes it safe for a terminal, whoever shows it elsewhere passes each
// cell through Safe.
type Sheet struct {
	Title string
	Parts []Part
}

// Part is a label and what stands beside it.
type Part struct {
	Label string
	// Apart has a blank line before the part.
	Apart  bool
	Blocks []Block
}

// Block is a sentence (one row of one cell), or a table without a head whose last
// column may be ragged.
type Block [][]string

// String gives the sheet as text, with aligned columns.
func (s Sheet) String() string {
	var b strings.Builder
	b.WriteString(s.Title + "\n\n")
	for _, p := range s.Parts {
		if p.Apart {
			b.WriteByte('\n')
		}
		label := p.Label
		for _, block := range p.Blocks {
			for _, line := range block.lines() {
				fmt.Fprintf(&b, "%-9s %s\n", label, strings.TrimRight(oneLine(line), " "))
				label = ""
			}
		}
	}
	return b.String()
}

// lines joins the cells of each row, aligned but for cells of more than 40 characters.
func (t Block) lines() []string {
	var width []int
	for _, r := range t {
		for i, cell := range r {
			if i == len(width) {
				width = append(width, 0)
			}
			if n := utf8.RuneCountInString(cell); n <= 40 {
				width[i] = max(width[i], n)
			}
		}
	}
	var out []string
	for _, r := range t {
		var b strings.Builder
		for i, cell := range r {
			if b.WriteString(cell); i < len(r)-1 {
				b.WriteString(strings.Repeat(" ", max(0, width[i]-utf8.RuneCountInString(cell))+2))
			}
		}
		out = append(out, b.String())
	}
	return out
}

// sheet is a Sheet being written. A section without lines leaves nothing behind.
type sheet struct {
	Sheet
	label         string
	begins, apart bool
}

func (s *sheet) section(label string) { s.label, s.begins = label, true }

func (s *sheet) gap() { s.apart = true }

func (s *sheet) line(format string, args ...any) { s.table([][]string{{fmt.Sprintf(format, args...)}}) }

func (s *sheet) table(rows [][]string) {
	if len(rows) == 0 {
		return
	}
	if s.begins || len(s.Parts) == 0 {
		s.Parts = append(s.Parts, Part{Label: s.label, Apart: s.apart})
		s.begins, s.apart = false, false
	}
	p := &s.Parts[len(s.Parts)-1]
	p.Blocks = append(p.Blocks, rows)
}

// oneLine makes a sentence safe for a terminal and for the page.
func oneLine(text string) string { return strings.ReplaceAll(Safe(text), "\n", `\n`) }

// Printable makes a value safe to print, and leaves plain ones as they are.
func Printable(s string) string {
	if q := strconv.Quote(s); q != `"`+s+`"` {
		return q
	}
	return s
}

// Safe shows within a sentence what a terminal or a browser would carry out (control
// characters, escapes, bidirectional overrides) as escapes, and leaves its quotes and
// line ends alone.
func Safe(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r == '\n' || strconv.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
	}
	return b.String()
}

// When gives a time in UTC to the second, "-" if it has not come.
func When(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05")
}
