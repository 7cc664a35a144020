package main

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/mattn/go-runewidth"
	"github.com/olekukonko/tablewriter"

	"mcpauth/internal/httpx"
)

// writeTable writes rows under a header, and folds the blanks in each cell. The first column contains names, see foreignName. If stdout is a
// terminal, rows are shortened to the width of the terminal.
func (o *output) writeTable(head []string, rows [][]string, colour func(column int, cell string) string) error {
	for _, row := range rows {
		row[0] = shortName(row[0], 300)
		for i := range row {
			row[i] = foldLine(row[i])
		}
	}
	if o.width > 0 {
		fitColumns(head, rows, o.width)
	}
	if o.outColour && colour != nil {
		for _, row := range rows {
			for i := range row {
				row[i] = colour(i, row[i])
			}
		}
	}
	var b bytes.Buffer
	t := tablewriter.NewWriter(&b)
	t.SetBorder(false)
	t.SetHeaderLine(false)
	t.SetColumnSeparator("")
	t.SetCenterSeparator("")
	t.SetNoWhiteSpace(true)
	t.SetTablePadding("  ")
	t.SetAutoWrapText(false)
	t.SetAutoFormatHeaders(false)
	t.SetHeaderAlignment(tablewriter.ALIGN_LEFT)
	t.SetAlignment(tablewriter.ALIGN_LEFT)
	t.SetHeader(head)
	t.AppendBulk(rows)
	t.Render()
	var out strings.Builder
	for line := range strings.Lines(b.String()) {
		out.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	return o.write([]byte(out.String()))
}

// fitColumns shortens the widest columns until the table is at most width cells wide. Two blanks separate the columns.
func fitColumns(head []string, rows [][]string, width int) {
	widths := make([]int, len(head))
	total := 2 * (len(head) - 1)
	for i := range head {
		widths[i] = runewidth.StringWidth(head[i])
		for _, row := range rows {
			widths[i] = max(widths[i], runewidth.StringWidth(row[i]))
		}
		total += widths[i]
	}
	for ; total > width; total-- {
		widest := 0
		for i := range widths {
			if widths[i] > widths[widest] {
				widest = i
			}
		}
		if widths[widest] <= 8 {
			break
		}
		widths[widest]--
	}
	for _, row := range rows {
		for i := range row {
			if i == 0 || slices.Contains([]string{"SCOPES", "TOOL", accountHead}, head[i]) { // names, see foreignName
				row[i] = cutName(row[i], widths[i])
			} else {
				row[i] = shorten(row[i], widths[i])
			}
		}
	}
}

// writeList prints a list of tools, prompts or resources as a table. With --json, writeList prints the list as the server sent it.
func (o *output) writeList(raw json.RawMessage, what string, head []string, rows [][]string) error {
	switch {
	case o.json:
		return o.writeRaw(raw)
	case len(rows) == 0:
		o.printNote("the server offers no %s", what)
		return nil
	}
	return o.writeTable(head, rows, boldFirst)
}

// firstLine returns the first line of the first text that is not empty.
func firstLine(texts ...string) string {
	for _, text := range texts {
		if line, _, _ := strings.Cut(strings.TrimSpace(text), "\n"); line != "" {
			return httpx.Text(line, 300)
		}
	}
	return ""
}

// boldFirst makes the first column of a table bold.
func boldFirst(column int, cell string) string {
	if column == 0 {
		return paint(true, bold, cell)
	}
	return cell
}
