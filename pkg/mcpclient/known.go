// This file answers from memory alone, for the completion of shells.

package mcpclient

// KnownTools returns the tools that an earlier run saw, however long ago; none where nothing is remembered. It sends nothing.
func (c *Client) KnownTools() []Tool {
	list := c.remembered()
	if list == nil {
		return nil
	}
	var out []Tool
	for t := range list.tools() {
		out = append(out, parseTool(t))
	}
	return out
}
