// This file describes this client for its metadata document (client ID metadata documents; MCP, Client ID Metadata Documents).

package flow

import (
	"strconv"

	"mcpauth/pkg/dcr"
)

// callbackHosts are the hosts that Login may be called back at (RFC 8252 §7.3 and §8.3).
var callbackHosts = []string{"127.0.0.1", "localhost"}

// ClientDocument returns the document to host at the address, which then is the client id of Login (Target.ClientMetadataURL). Port 0 leaves
// the port out of the redirect addresses: servers are to allow any on loopback (RFC 8252 §7.3). Those that compare it want the port that
// Login is given. A name that is empty is "mcpauth".
func ClientDocument(address string, port int, name string) ([]byte, error) {
	suffix := "/callback"
	if port != 0 {
		suffix = ":" + strconv.Itoa(port) + suffix
	}
	var redirects []string
	for _, host := range callbackHosts {
		redirects = append(redirects, "http://"+host+suffix)
	}
	return dcr.Document(address, redirects, name)
}
