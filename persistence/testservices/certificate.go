package testservices

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// Certificate is what a server on 127.0.0.1 needs for TLS, in files. It is its own authority.
type Certificate struct {
	Cert string // what clients have to trust
	Key  string
}

// NewCertificate makes one in dir, good for an hour.
func NewCertificate(dir string) (Certificate, error) {
	c := Certificate{Cert: filepath.Join(dir, "server.crt"), Key: filepath.Join(dir, "server.key")}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return c, fmt.Errorf("make key: %w", err)
	}
	now := time.Now()
	template := x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	cert, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		return c, fmt.Errorf("make certificate: %w", err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return c, fmt.Errorf("write key: %w", err)
	}
	for name, block := range map[string]*pem.Block{c.Cert: {Type: "CERTIFICATE", Bytes: cert}, c.Key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			return c, fmt.Errorf("write certificate: %w", err)
		}
	}
	return c, nil
}

// copyTo gives a copy in dir to the user that the server runs as.
func (c Certificate) copyTo(dir string, user *syscall.Credential) (Certificate, error) {
	own := Certificate{Cert: filepath.Join(dir, "server.crt"), Key: filepath.Join(dir, "server.key")}
	for from, to := range map[string]string{c.Cert: own.Cert, c.Key: own.Key} {
		data, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(to, data, 0o600)
		}
		if err == nil && user != nil {
			err = os.Chown(to, int(user.Uid), int(user.Gid))
		}
		if err != nil {
			return own, fmt.Errorf("copy certificate: %w", err)
		}
	}
	return own, nil
}

// StartRedisTLS starts a Redis that listens with TLS as well, and returns its URL for that.
func StartRedisTLS(c Certificate) (*Redis, string, error) {
	port, err := freePort()
	if err != nil {
		return nil, "", err
	}
	r, err := StartRedis("--tls-port", strconv.Itoa(port), "--tls-cert-file", c.Cert, "--tls-key-file", c.Key, "--tls-auth-clients", "no")
	return r, fmt.Sprintf("rediss://127.0.0.1:%d", port), err
}
