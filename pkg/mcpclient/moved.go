package mcpclient

import (
	"mcpauth/internal/jsonscan"
	"mcpauth/internal/sse"
)

// Names of internal/jsonscan and internal/sse that the rest of this package still uses.
var (
	valid, members, member, elements = jsonscan.Valid, jsonscan.Members, jsonscan.Member, jsonscan.Elements
	unquote, quote                   = jsonscan.Unquote, jsonscan.Quote
	newEvents, errTooLarge           = sse.NewReader, sse.ErrTooLarge
)
