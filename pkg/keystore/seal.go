package keystore

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"filippo.io/age"
)

// open returns the secret in a payload, decrypted if necessary.
func open(keyFile string, h head, payload string) ([]byte, error) {
	if h.Encoding != encodedAge {
		return decodePayload(payload, h.Encoding)
	}
	if keyFile == "" {
		return nil, fmt.Errorf("%w: encrypted, but no key file is given", ErrLocked)
	}
	return unseal(keyFile, []byte(payload))
}

// unseal decrypts with the identities in the key file.
func unseal(keyFile string, sealed []byte) ([]byte, error) {
	ids, err := identities(keyFile)
	if err != nil {
		return nil, err
	}
	r, err := age.Decrypt(bytes.NewReader(sealed), ids...)
	if err != nil {
		if none := new(age.NoIdentityMatchError); errors.As(err, &none) {
			return nil, fmt.Errorf("%w: encrypted to a key that is not in %s", ErrDenied, keyFile)
		}
		return nil, fmt.Errorf("%w: the encrypted data cannot be read", ErrCorrupt)
	}
	secret, err := io.ReadAll(io.LimitReader(r, maxFile))
	if err != nil {
		return nil, fmt.Errorf("%w: the encrypted data is truncated or changed", ErrCorrupt)
	}
	return secret, nil
}

// identities reads the key file.
func identities(keyFile string) ([]age.Identity, error) {
	if info, err := os.Stat(keyFile); err == nil && !info.Mode().IsRegular() { // opening a pipe could hang, and it could be read only once
		return nil, fmt.Errorf("%w: key file %s is not a regular file", ErrLocked, keyFile)
	}
	file, err := os.Open(keyFile)
	if err != nil {
		return nil, fmt.Errorf("%w: key file %s: %w", ErrLocked, keyFile, bare(err))
	}
	defer file.Close()
	ids, err := age.ParseIdentities(io.LimitReader(file, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("%w: key file %s is not an age identity", ErrLocked, keyFile) // the parser's error may quote the key
	}
	return ids, nil
}

// seal encrypts to the first identity in the key file.
func seal(keyFile string, secret []byte) ([]byte, error) {
	ids, err := identities(keyFile)
	if err != nil {
		return nil, err
	}
	var to age.Recipient
	switch id := ids[0].(type) {
	case *age.X25519Identity:
		to = id.Recipient()
	case *age.HybridIdentity:
		to = id.Recipient()
	default:
		return nil, fmt.Errorf("%w: key file %s: cannot encrypt to an identity of type %T", ErrLocked, keyFile, id)
	}
	var out bytes.Buffer
	w, err := age.Encrypt(&out, to)
	if err == nil {
		_, err = w.Write(secret)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("%w: encrypting: %v", ErrUnwritable, err)
	}
	return out.Bytes(), nil
}
