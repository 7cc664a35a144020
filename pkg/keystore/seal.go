package keystore

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"syscall"

	"filippo.io/age"
)

// openPayload returns the secret in a payload, decrypted if necessary.
func openPayload(keyFile string, h recordHead, payload string) ([]byte, error) {
	if h.Encoding != encodedAge {
		return decodePayload(payload, h.Encoding)
	}
	if keyFile == "" {
		return nil, fmt.Errorf("%w: encrypted, but no key file is given", ErrKeyFile)
	}
	k, err := readKeys(keyFile)
	if err != nil {
		return nil, err
	}
	return k.decrypt([]byte(payload))
}

// ageKeys are the identities in a key file. Secrets are encrypted to the first identity; each identity can decrypt.
type ageKeys struct {
	file       string
	ids        []age.Identity
	recipients []age.Recipient // recipient of each identity
	authKeys   [][]byte        // a key for seal that is derived from each identity
}

// readKeys reads the key file. The file must be a regular file, because opening a pipe can block. No other user may be able to write the
// file.
func readKeys(keyFile string) (*ageKeys, error) {
	file, err := os.OpenFile(keyFile, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err == nil {
		defer file.Close()
		err = checkKeyFile(file)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrKeyFile, keyFile, withoutPath(err))
	}
	ids, err := age.ParseIdentities(io.LimitReader(file, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("%w: %s is not an age identity", ErrKeyFile, keyFile) // the parser's error may quote the key
	}
	k := &ageKeys{file: keyFile, ids: ids}
	for _, id := range ids {
		var to age.Recipient
		var text string
		switch id := id.(type) {
		case *age.X25519Identity:
			to, text = id.Recipient(), id.String()
		case *age.HybridIdentity:
			to, text = id.Recipient(), id.String()
		default:
			return nil, fmt.Errorf("%w: %s: cannot encrypt to an identity of type %T", ErrKeyFile, keyFile, id)
		}
		k.recipients, k.authKeys = append(k.recipients, to), append(k.authKeys, hmacOf([]byte(text), "mcpauth: key that authenticates sealed data"))
	}
	return k, nil
}

// checkKeyFile checks the open file and not its path, at which another user may put another file between a check and the opening.
func checkKeyFile(file *os.File) error {
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		return errors.New("it is not a regular file")
	}
	if err != nil {
		return err
	}
	return checkWriters(file.Name(), info)
}

func (k *ageKeys) decrypt(sealed []byte) ([]byte, error) {
	r, err := age.Decrypt(bytes.NewReader(sealed), k.ids...)
	if err != nil {
		if none := new(age.NoIdentityMatchError); errors.As(err, &none) {
			return nil, k.foreign()
		}
		return nil, fmt.Errorf("%w: the encrypted data cannot be read", ErrCorrupt)
	}
	secret, err := io.ReadAll(io.LimitReader(r, maxFile))
	if err != nil {
		return nil, fmt.Errorf("%w: the encrypted data is truncated or changed", ErrCorrupt)
	}
	return secret, nil
}

func (k *ageKeys) foreign() error {
	return fmt.Errorf("%w: encrypted to a key that is not in %s", ErrKeyFile, k.file)
}

func (k *ageKeys) encrypt(secret []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := age.Encrypt(&out, k.recipients[0])
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

// Data in a database is also authenticated. age alone does not authenticate the sender: everybody who knows the public key can encrypt to
// it. A label precedes the encrypted data. The label consists of the ID of the authenticating key, an HMAC that only the holder of the
// identity can compute, and the hash of the encrypted data. The HMAC covers the hash and not the data, so that checkLabel needs only the
// label.
const (
	keyIDSize = 8
	codeEnd   = keyIDSize + sha256.Size
	labelSize = codeEnd + sha256.Size
)

// seal encrypts and authenticates a secret. The texts are stored unencrypted next to the secret and are authenticated with it.
func (k *ageKeys) seal(secret []byte, texts ...string) ([]byte, error) {
	sealed, err := k.encrypt(secret)
	if err != nil {
		return nil, err
	}
	hash, key := sha256.Sum256(sealed), k.authKeys[0]
	return bytes.Join([][]byte{keyID(key), hmacOf(key, append(texts, string(hash[:]))...), hash[:], sealed}, nil), nil
}

// unseal checks and decrypts the result of seal.
func (k *ageKeys) unseal(sealed []byte, texts ...string) ([]byte, error) {
	if err := k.checkLabel(sealed, texts...); err != nil {
		return nil, err
	}
	if hash := sha256.Sum256(sealed[labelSize:]); !bytes.Equal(hash[:], sealed[codeEnd:labelSize]) {
		return nil, fmt.Errorf("%w: the encrypted data is truncated or changed", ErrCorrupt)
	}
	return k.decrypt(sealed[labelSize:])
}

// checkLabel verifies the label of sealed data. The data after the label may be missing.
func (k *ageKeys) checkLabel(sealed []byte, texts ...string) error {
	if len(sealed) < labelSize {
		return fmt.Errorf("%w: the encrypted data is incomplete", ErrCorrupt)
	}
	i := slices.IndexFunc(k.authKeys, func(key []byte) bool { return bytes.Equal(keyID(key), sealed[:keyIDSize]) })
	if i < 0 {
		return k.foreign()
	}
	if !hmac.Equal(hmacOf(k.authKeys[i], append(texts, string(sealed[codeEnd:labelSize]))...), sealed[keyIDSize:codeEnd]) {
		return fmt.Errorf("%w: somebody without the key file has changed it", ErrCorrupt)
	}
	return nil
}

// keyID returns a text that identifies a key without revealing it.
func keyID(key []byte) []byte { return hmacOf(key, "ID")[:keyIDSize] }

func hmacOf(key []byte, texts ...string) []byte {
	h := hmac.New(sha256.New, key)
	for _, text := range texts {
		fmt.Fprintf(h, "%d:%s", len(text), text)
	}
	return h.Sum(nil)
}
