package demo

import (
	"encoding/binary"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// tools lists all tools.
func tools() []tool {
	return []tool{
		{name: "echo", title: "Echo", description: "Returns the text as it came.", readOnly: true, idempotent: true, run: runEcho,
			input: `{"type":"object","properties":{"text":{"type":"string","description":"what to say"}},"required":["text"],"additionalProperties":false}`},
		{name: "add", title: "Add", description: "Adds two integers of any size, exactly.", readOnly: true, idempotent: true, run: runAdd,
			input:  `{"type":"object","properties":{"a":{"type":"integer","description":"first summand"},"b":{"type":"integer","description":"second summand"}},"required":["a","b"],"additionalProperties":false}`,
			output: `{"type":"object","properties":{"sum":{"type":"integer"}},"required":["sum"]}`},
		{name: "picture", title: "Picture", description: "Draws a small PNG.", readOnly: true, idempotent: true, run: runPicture,
			input: `{"type":"object","properties":{"size":{"type":"integer","minimum":1,"maximum":512,"default":32,"description":"width and height in pixels"}}}`},
		{name: "slow", title: "Slow work", description: "Takes its time and reports progress.", readOnly: true, run: runSlow,
			input: `{"type":"object","properties":{"steps":{"type":"integer","minimum":0,"default":5,"description":"number of steps"},"delay_ms":{"type":"integer","minimum":0,"default":100,"description":"milliseconds per step"}}}`},
		{name: "fail", title: "Fail", description: "Always reports a tool error.", run: runFail,
			input: `{"type":"object","properties":{"message":{"type":"string","description":"the error to report"}}}`},
		{name: "secret_note", title: "Secret note", description: "Takes a note. Needs the scope notes:write.", run: runSecretNote,
			input: `{"type":"object","properties":{"text":{"type":"string","description":"the note"}}}`},
		{name: "headers", title: "Headers", description: "Returns the HTTP headers of the request; region is sent as Mcp-Param-Region too.", readOnly: true, run: runHeaders,
			input: `{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region","description":"any word"}}}`},
		{name: "whoami", title: "Who am I", description: "Says whom the token stands for: subject, scopes, client, number of the token.", readOnly: true, idempotent: true, run: runWhoami,
			input: `{"type":"object","properties":{}}`},
		{name: "ask", title: "Ask", description: "Asks the user for a name and a number, or to open a URL, and returns the answer.", run: runAsk,
			input: `{"type":"object","properties":{"url":{"type":"string","description":"have this address opened instead"}}}`},
		{name: "big", title: "Big", description: "Returns a text of so many bytes.", readOnly: true, idempotent: true, run: runBig,
			input: `{"type":"object","properties":{"bytes":{"type":"integer","minimum":0,"maximum":67108864,"default":1000}}}`},
		{name: "gallery", title: "Gallery", description: "Returns one content block of each kind, or of one kind.", readOnly: true, idempotent: true, run: runGallery,
			input: `{"type":"object","properties":{"kind":{"type":"string","enum":["all","text","image","audio","resource","blob","link"],"default":"all"}}}`},
		{name: "report", title: "Report", description: "Writes a report as a task (SEP-2663).", run: runReport, input: reportSchema},
	}
}

const askSchema = `{"type":"object","properties":{
"name":{"type":"string","title":"Name","default":"Ada"},
"count":{"type":"integer","title":"How many","minimum":1,"default":1},
"sure":{"type":"boolean","title":"Sure?","default":true}},"required":["name"]}`

type exhibit struct {
	kind  string
	block mcp.Content
}

func gallery() []exhibit {
	return []exhibit{
		{"text", &mcp.TextContent{Text: "a text"}},
		{"image", &mcp.ImageContent{Data: picture(8), MIMEType: "image/png"}},
		{"audio", &mcp.AudioContent{Data: silence(), MIMEType: "audio/wav"}},
		{"resource", &mcp.EmbeddedResource{Resource: &mcp.ResourceContents{URI: "demo://notes/1", MIMEType: "text/plain", Text: "a note"}}},
		{"blob", &mcp.EmbeddedResource{Resource: &mcp.ResourceContents{URI: "demo://blobs/1", MIMEType: "application/octet-stream", Blob: []byte{0, 1, 2, 255}}}},
		{"link", &mcp.ResourceLink{URI: "demo://notes/1", Name: "note", Title: "A note", MIMEType: "text/plain"}},
	}
}

// silence is a WAV file with a tenth of a second of silence: 800 samples of 8 bits at 8 kHz.
func silence() []byte {
	const samples = 800
	wav := []byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x40\x1f\x00\x00\x01\x00\x08\x00data\x00\x00\x00\x00")
	binary.LittleEndian.PutUint32(wav[4:], uint32(len(wav)-8+samples))
	binary.LittleEndian.PutUint32(wav[40:], samples)
	for range samples {
		wav = append(wav, 128)
	}
	return wav
}
