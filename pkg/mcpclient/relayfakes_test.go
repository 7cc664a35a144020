package mcpclient

import (
	"bytes"
	"io"
	"net/http"
)

func stub(req *http.Request, h http.Header, body []byte) *http.Response {
	h = h.Clone()
	if h == nil {
		h = http.Header{}
	}
	h.Set("Content-Type", "application/json")
	h.Del("Content-Length")
	return &http.Response{Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: h,
		Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Request: req}
}

// accepted is the answer to a notification.
func accepted(req *http.Request) *http.Response {
	res := stub(req, nil, nil)
	res.Status, res.StatusCode, res.Body = "202 Accepted", http.StatusAccepted, http.NoBody
	return res
}

func readRequest(req *http.Request) ([]byte, error) {
	if req.Body == nil || req.Body == http.NoBody {
		return nil, nil
	}
	defer req.Body.Close()
	return io.ReadAll(req.Body)
}
