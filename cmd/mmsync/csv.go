package main

import (
	"encoding/csv"
	"fmt"
	"strings"
	"time"
)

// csvOutput marks the commands that can print CSV.
const csvOutput = "csv"

// csv prints rows for a spreadsheet. What it would take for a formula is made
// text: names and addresses come from people.
func (a *app) csv(head []string, rows [][]string) error {
	w := csv.NewWriter(a.stdout)
	if err := w.Write(head); err != nil {
		return fmt.Errorf("print the result: %w", err)
	}
	for _, r := range rows {
		cells := make([]string, len(r))
		for i, c := range r {
			cells[i] = csvCell(c)
		}
		if err := w.Write(cells); err != nil {
			return fmt.Errorf("print the result: %w", err)
		}
	}
	w.Flush()
	if err := w.Error(); err != nil {
		return fmt.Errorf("print the result: %w", err)
	}
	return nil
}

// csvCell shows what a terminal would carry out, and puts a ' before what a
// spreadsheet would.
func csvCell(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		s = "'" + s
	}
	return safe(strings.ReplaceAll(s, "\n", `\n`))
}

func csvTime(t time.Time) string {
	if t.IsZero() || t.UnixMilli() == 0 {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
