package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"mcpauth/pkg/flow"
)

const accountHead = "ACCOUNT (unverified)"

// statusTable prints a table with one row per login.
func (o *output) statusTable(list []flow.Status) error {
	var rows [][]string
	head := []string{"SERVER", "STATE", "EXPIRES", "RENEWABLE", "SCOPES"}
	accounts := slices.ContainsFunc(list, func(s flow.Status) bool { return s.Account != "" })
	if accounts {
		head = slices.Insert(head, 4, accountHead)
	}
	for _, s := range list {
		renewable := "no"
		if s.Refreshable {
			renewable = "yes"
		}
		when := expiryText(s)
		if o.outTerminal {
			when = strings.TrimSpace(lifetimeBar(s) + " " + when)
		}
		row := []string{nameOrURL(s), string(s.State), when, renewable, strings.Join(convert(s.Scopes, foreignName), " ")}
		if accounts {
			row = slices.Insert(row, 4, "-")
			if s.Account != "" {
				row[4] = foreignName(s.Account)
			}
		}
		rows = append(rows, row)
	}
	colours := map[string]string{"valid": green, "unknown": green, "expiring": yellow, "expired": red, "none": red}
	colour := "" // the colour of columns 1 and 2
	return o.writeTable(head, rows, func(column int, cell string) string {
		switch column {
		case 1:
			colour = colours[cell]
			return paint(true, colour, cell)
		case 2:
			words := strings.TrimLeft(cell, fullCell+emptyCell)
			return paint(true, colour, cell[:len(cell)-len(words)]) + words
		}
		return cell
	})
}

// expiryText formats the expiry time of a token for people: "in 54m", "3h ago", or "-" if the time is unknown.
func expiryText(s flow.Status) string {
	if s.ExpiresIn == nil {
		return "-"
	}
	left := time.Duration(*s.ExpiresIn) * time.Second
	if left < 0 {
		return roundDuration(-left) + " ago"
	}
	return "in " + roundDuration(left)
}

// lifetimeBar draws these cells.
const fullCell, emptyCell = "█", "░"

// lifetimeBar draws the remaining lifetime of a token in eight cells. If the lifetime is unknown, lifetimeBar returns "".
func lifetimeBar(s flow.Status) string {
	const cells = 8
	if s.ExpiresIn == nil || s.ExpiresAt == nil || s.ObtainedAt == nil || !s.ExpiresAt.After(*s.ObtainedAt) {
		return ""
	}
	left := time.Duration(max(0, *s.ExpiresIn)) * time.Second
	life := s.ExpiresAt.Sub(*s.ObtainedAt)
	filled := int(min(cells, (cells*left+life-1)/life)) // rounded up: only an expired token has an empty bar
	return strings.Repeat(fullCell, filled) + strings.Repeat(emptyCell, cells-filled)
}

// roundDuration formats a duration in its largest unit.
func roundDuration(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd", d/(24*time.Hour))
}

// describeLifetime describes how long a login is valid.
func describeLifetime(s flow.Status) string {
	words := "the server gave no lifetime"
	if s.ExpiresAt != nil {
		words = "valid until " + s.ExpiresAt.Format(time.RFC3339) + " (" + expiryText(s) + ")"
	}
	if s.Refreshable {
		words += ", renewable"
	}
	return words
}

// describeAccount describes the account of a login, or returns "" if the account is unknown.
func describeAccount(s flow.Status) string {
	if s.Account == "" {
		return ""
	}
	return " as " + foreignName(s.Account) + " (unverified)"
}
