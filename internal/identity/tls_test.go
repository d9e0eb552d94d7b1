package identity

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// world is a cluster of three regions, their identity keys and sessions.
type world struct {
	cluster  ClusterID
	ids      map[RegionID]*KeySigner
	sessions map[RegionID]*Session
}

func newWorld(t *testing.T, cluster byte) *world {
	t.Helper()
	w := &world{ClusterID{cluster}, map[RegionID]*KeySigner{}, map[RegionID]*Session{}}
	for r := RegionID(1); r <= 3; r++ {
		w.ids[r] = newP256(t)
		w.sessions[r] = w.session(t, r, w.ids[r])
	}
	return w
}

func newP256(t *testing.T) *KeySigner {
	t.Helper()
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewKeySigner(priv)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (w *world) session(t *testing.T, r RegionID, id Signer) *Session {
	t.Helper()
	key := GenerateEd25519()
	cert, err := IssueSession(context.Background(), id, key, SessionCert{
		Cluster: w.cluster, Region: r, ServerID: "north-00000001", Boot: Boot{byte(r)}, Issued: time.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return &Session{key, cert}
}

func (w *world) pins(r RegionID) []PublicKey {
	if id, ok := w.ids[r]; ok {
		return []PublicKey{id.Public()}
	}
	return nil
}

// handshake runs both sides and returns what each saw.
func handshake(t *testing.T, server, client *tls.Config) (atServer, atClient tls.ConnectionState, serverErr, clientErr error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") // not net.Pipe: both sides may write at once
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	b, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	a, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	s, c := tls.Server(a, server), tls.Client(b, client)
	done := make(chan struct{})
	go func() {
		defer close(done)
		serverErr = s.Handshake()
		if serverErr == nil { // a client learns of a refused certificate only here
			_, serverErr = s.Write([]byte{1})
		}
		a.Close()
	}()
	if clientErr = c.Handshake(); clientErr == nil {
		_, clientErr = c.Read(make([]byte, 1))
	}
	b.Close()
	<-done
	return s.ConnectionState(), c.ConnectionState(), serverErr, clientErr
}

func TestTLSAccepts(t *testing.T) {
	w := newWorld(t, 1)
	principal, p256 := GenerateEd25519(), newP256(t)
	for _, tc := range []struct {
		name   string
		client *tls.Config
		region RegionID
		key    PublicKey
	}{
		{"region to region", ClientTLS(w.sessions[2], 1, w.pins, w.cluster), 2, w.sessions[2].Public()},
		{"region to any region", ClientTLS(w.sessions[2], 0, w.pins, w.cluster), 2, w.sessions[2].Public()},
		{"Ed25519 principal", PrincipalTLS(principal, 1, w.pins, w.cluster), 0, principal.Public()},
		{"P-256 principal to any region", PrincipalTLS(p256, 0, w.pins, w.cluster), 0, p256.Public()},
	} {
		t.Run(tc.name, func(t *testing.T) {
			atServer, atClient, serr, cerr := handshake(t, ServerTLS(w.sessions[1], w.pins, w.cluster, true), tc.client)
			if serr != nil || cerr != nil {
				t.Fatal(serr, cerr)
			}
			for _, cs := range []tls.ConnectionState{atServer, atClient} {
				if cs.Version != tls.VersionTLS13 || cs.CurveID != tls.X25519MLKEM768 || cs.DidResume {
					t.Errorf("version %x, curve %v, resumed %v", cs.Version, cs.CurveID, cs.DidResume)
				}
			}
			peer, err := PeerOf(atServer)
			if err != nil || peer.Region() != tc.region || !peer.Key.Equal(tc.key) {
				t.Errorf("server sees %+v, %v", peer, err)
			}
			peer, err = PeerOf(atClient)
			if err != nil || peer.Region() != 1 || peer.Cert.ServerID != "north-00000001" {
				t.Errorf("client sees %+v, %v", peer, err)
			}
		})
	}
}

func TestTLSRefuses(t *testing.T) {
	w, other := newWorld(t, 1), newWorld(t, 2)
	other.ids = w.ids // same identity keys, another cluster
	foreign := other.session(t, 2, w.ids[2])
	forged := w.session(t, 2, newP256(t))                     // not signed by the pinned key
	stolen := &Session{GenerateEd25519(), w.sessions[2].Cert} // a certificate without its key
	claims3 := w.session(t, 3, w.ids[2])                      // region 2's HSM vouches for region 3
	unknown := w.session(t, 9, w.ids[2])                      // no pin at all
	zero := w.session(t, 0, w.ids[2])                         //
	rsaKey, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		t.Fatal(err)
	}
	rsaSigner, err := NewKeySigner(rsaKey)
	if err != nil {
		t.Fatal(err)
	}
	anyone := func(RegionID) []PublicKey { return []PublicKey{w.ids[1].Public(), w.ids[2].Public()} }
	server := ServerTLS(w.sessions[1], w.pins, w.cluster, true)
	regionsOnly := ServerTLS(w.sessions[1], w.pins, w.cluster, false)
	with := func(c *tls.Config, f func(*tls.Config)) *tls.Config { c = c.Clone(); f(c); return c }
	region := ClientTLS(w.sessions[2], 1, w.pins, w.cluster)
	for _, tc := range []struct {
		name           string
		server, client *tls.Config
		want           string // in one of the errors
	}{
		{"other cluster", server, rawTLS(t, foreign), "another cluster"},
		{"identity not pinned", server, rawTLS(t, forged), "not signed by its identity key"},
		{"stolen certificate", server, rawTLS(t, stolen), "holds another key"},
		{"certificate of another region", server, rawTLS(t, claims3), "not signed by its identity key"},
		{"unknown region", server, rawTLS(t, unknown), "no identity key is pinned"},
		{"region zero", ServerTLS(w.sessions[1], anyone, w.cluster, true), rawTLS(t, zero), "is region 0"},
		{"principal among regions", regionsOnly, PrincipalTLS(GenerateEd25519(), 1, w.pins, w.cluster), "no session certificate"},
		{"RSA principal", server, PrincipalTLS(rsaSigner, 1, w.pins, w.cluster), "not RSA"},
		{"no certificate", server, with(region, func(c *tls.Config) { c.Certificates, c.GetClientCertificate = nil, nil }), "certificate"},
		{"TLS 1.2 client", server, with(region, func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12 }), "version"},
		{"TLS 1.2 server", with(server, func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12 }), region, "version"},
		{"X25519 client", server, with(region, func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.X25519} }), "key exchange"},
		{"X25519 server", with(server, func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.X25519} }), region, "handshake failure"},
		{"dialled another region", ServerTLS(w.sessions[3], w.pins, w.cluster, true), region, "is region 3, want region 1"},
		{"client dials principal", rawServer(t, &Session{GenerateEd25519(), nil}), region, "no session certificate"},
		{"client dials impostor", rawServer(t, forged), ClientTLS(w.sessions[3], 2, w.pins, w.cluster), "not signed by its identity key"},
		{"principal dials impostor", rawServer(t, forged), PrincipalTLS(GenerateEd25519(), 0, w.pins, w.cluster), "not signed by its identity key"},
		{"server misconfigured", ServerTLS(stolen, w.pins, w.cluster, true), region, "is for another key"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, _, serr, cerr := handshake(t, tc.server, tc.client)
			if cerr == nil && serr == nil {
				t.Fatal("accepted")
			}
			if text := errText(serr) + errText(cerr); !strings.Contains(text, tc.want) {
				t.Errorf("refused because of %q, want %q", text, tc.want)
			}
		})
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error() + "; "
}

// rawTLS is an attacker's client: any certificate, no questions asked.
func rawTLS(t *testing.T, s *Session) *tls.Config {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: validFrom, NotAfter: validTo}
	if s.Cert != nil {
		template.ExtraExtensions = []pkix.Extension{{Id: oidSessionCert, Value: s.Cert.Encode()}}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, s.Private().Public(), s.Private())
	if err != nil {
		t.Fatal(err)
	}
	cert := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: s.Private()}
	return &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{cert}, CurvePreferences: []tls.CurveID{tls.X25519MLKEM768}}
}

func rawServer(t *testing.T, s *Session) *tls.Config {
	c := rawTLS(t, s)
	c.ClientAuth = tls.RequestClientCert
	return c
}

// TestTLSIgnoresDates: dates carry no trust, so neither an expired certificate nor a
// simulated clock at 2000-01-01 matters.
func TestTLSIgnoresDates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		if y := time.Now().Year(); y != 2000 {
			t.Fatalf("simulated clock starts in %d", y)
		}
		client := ClientTLS(w.sessions[2], 1, w.pins, w.cluster)
		if leaf := client.Certificates[0].Leaf; leaf.NotBefore.Year() > 1999 || leaf.NotAfter.Year() < 9999 {
			t.Errorf("certificate is valid from %v to %v", leaf.NotBefore, leaf.NotAfter)
		}
		if _, _, serr, cerr := handshake(t, ServerTLS(w.sessions[1], w.pins, w.cluster, false), client); serr != nil || cerr != nil {
			t.Error(serr, cerr)
		}
		old := rawTLS(t, w.sessions[2])
		for _, f := range []func(c *x509.Certificate){
			func(c *x509.Certificate) { c.NotBefore, c.NotAfter = validFrom, validFrom.Add(time.Hour) },
			func(c *x509.Certificate) { c.NotBefore, c.NotAfter = time.Now().Add(time.Hour), validTo },
		} {
			template := &x509.Certificate{SerialNumber: big.NewInt(1), ExtraExtensions: []pkix.Extension{{Id: oidSessionCert, Value: w.sessions[2].Cert.Encode()}}}
			f(template)
			der, err := x509.CreateCertificate(rand.Reader, template, template, w.sessions[2].Private().Public(), w.sessions[2].Private())
			if err != nil {
				t.Fatal(err)
			}
			old.Certificates[0].Certificate = [][]byte{der}
			if _, _, serr, cerr := handshake(t, ServerTLS(w.sessions[1], w.pins, w.cluster, false), old); serr != nil || cerr != nil {
				t.Error(serr, cerr)
			}
		}
	})
}

// TestPinsAreAskedAtEveryHandshake: a replaced region is shut out at once.
func TestPinsAreAskedAtEveryHandshake(t *testing.T) {
	w := newWorld(t, 1)
	server, client := ServerTLS(w.sessions[1], w.pins, w.cluster, false), ClientTLS(w.sessions[2], 1, w.pins, w.cluster)
	if _, _, serr, cerr := handshake(t, server, client); serr != nil || cerr != nil {
		t.Fatal(serr, cerr)
	}
	delete(w.ids, 2)
	if _, _, serr, _ := handshake(t, server, client); serr == nil {
		t.Error("region 2 is still accepted without a pin")
	}
}

func TestPeerOfNeedsHandshake(t *testing.T) {
	if _, err := PeerOf(tls.ConnectionState{}); err == nil {
		t.Error("a connection without handshake has a peer")
	}
	if _, err := PeerOf(tls.ConnectionState{HandshakeComplete: true}); err == nil {
		t.Error("a connection without certificate has a peer")
	}
}
