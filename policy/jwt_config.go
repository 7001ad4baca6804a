package policy

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// defaultLeeway is the tolerance for clocks.
const defaultLeeway = 30 * time.Second

// issuers are the configuration's auth.jwt, with what remembers their tokens. A token
// that an older generation verified is verified again: its issuer may have been
// taken away.
type issuers struct {
	list    []*tokenIssuer
	config  []*transomv1.JwtIssuer
	cache   *tokenCache
	revoked *revocations
	now     func() time.Time
}

// issuersOf are the issuers of a generation.
func issuersOf(g *Generation) *issuers { return Shared(g, openIssuers) }

// openIssuers reads the configuration's auth.jwt. Problems are noted at the
// configuration's own fields.
func openIssuers(g *Generation) *issuers {
	all := &issuers{config: g.Config.GetAuth().GetJwt(), cache: newTokenCache(), now: g.State.Now}
	for n, config := range all.config {
		path := fmt.Sprintf("auth.jwt[%d]", n)
		issuer, field, err := newIssuer(g, config)
		if err != nil {
			g.RefuseConfig(path+field, err)
			continue
		}
		if all.find(issuer.name) != nil {
			g.RefuseConfig(path+".issuer", fmt.Errorf("the issuer %q stands here a second time", issuer.name))
			continue
		}
		all.list = append(all.list, issuer)
	}
	var err error
	if all.revoked, err = openRevocations(g, all.cache); err != nil {
		g.RefuseConfig("auth.jwt", err)
	}
	return all
}

// find finds an issuer; nil if it is not configured.
func (all *issuers) find(name string) *tokenIssuer {
	for _, i := range all.list {
		if i.name == name {
			return i
		}
	}
	return nil
}

// configured reports whether the configuration names the issuer, though it may
// have been refused there.
func (all *issuers) configured(name string) bool {
	return slices.ContainsFunc(all.config, func(j *transomv1.JwtIssuer) bool { return j.GetIssuer() == name })
}

// missing words the refusal of an issuer that is not configured.
func (all *issuers) missing(name string) string {
	if len(all.config) == 0 {
		return fmt.Sprintf("found the issuer %q, but the configuration has no auth.jwt", name)
	}
	names := make([]string, len(all.list))
	for n, i := range all.list {
		names[n] = i.name
	}
	return fmt.Sprintf("found the issuer %q, expected one of the configuration's auth.jwt: %s", name, strings.Join(names, ", "))
}

// newIssuer makes one issuer; field is where the error belongs, with a dot
// in front.
func newIssuer(g *Generation, config *transomv1.JwtIssuer) (_ *tokenIssuer, field string, _ error) {
	i := &tokenIssuer{
		name: config.GetIssuer(), audience: config.GetAudience(), algorithms: config.GetAlgorithms(),
		leeway: defaultLeeway, principalClaim: "sub", rolesClaim: "roles", now: g.State.Now,
	}
	if i.name == "" {
		return nil, ".issuer", fmt.Errorf("found nothing, expected the exact value of the claim iss")
	}
	if config.GetLeeway() != nil {
		i.leeway = config.GetLeeway().AsDuration()
		if i.leeway < 0 || i.leeway > time.Hour {
			return nil, ".leeway", fmt.Errorf("found %v, expected 0s to 1h", i.leeway)
		}
	}
	if config.GetPrincipalClaim() != "" {
		i.principalClaim = config.GetPrincipalClaim()
	}
	if config.GetRolesClaim() != "" {
		i.rolesClaim = config.GetRolesClaim()
	}
	if err := i.forwardClaims(config.GetForwardClaims()); err != nil {
		return nil, ".forward_claims", err
	}
	if field, err := i.readKeys(g, config); err != nil {
		return nil, field, err
	}
	if config.GetPrivateKey() != "" {
		if err := i.readSigner(g, config); err != nil {
			return nil, ".private_key", err
		}
	}
	return i, "", nil
}

func (i *tokenIssuer) forwardClaims(claims []string) error {
	for _, claim := range claims {
		f, err := forwardClaim(claim)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(i.forward, func(o forwardedClaim) bool { return o.name == f.name }) {
			return fmt.Errorf("two claims become the metadata %s", f.name)
		}
		i.forward = append(i.forward, f)
	}
	return nil
}

func (i *tokenIssuer) readKeys(g *Generation, config *transomv1.JwtIssuer) (field string, err error) {
	known := slices.Concat(hmacAlgorithms, rsaAlgorithms, []string{"ES256", "ES384", "ES512", "EdDSA"})
	for _, a := range i.algorithms {
		if !slices.Contains(known, a) {
			return ".algorithms", fmt.Errorf("found %q, expected some of %v", a, known)
		}
	}
	switch k := config.GetKeys().(type) {
	case *transomv1.JwtIssuer_Secret:
		return ".secret", i.readSecret(g, k.Secret, config.GetKeyId())
	case *transomv1.JwtIssuer_PublicKey:
		text, err := g.Secret(k.PublicKey)
		if err != nil {
			return ".public_key", err
		}
		key, err := parsePublicKey(text)
		if err != nil {
			return ".public_key", fmt.Errorf("found %w", err)
		}
		return ".public_key", i.fix(key)
	case *transomv1.JwtIssuer_JwksFile:
		i.source, err = openKeyFile(g, g.Path(k.JwksFile))
		return ".jwks_file", err
	case *transomv1.JwtIssuer_JwksUrl:
		i.source, err = openConfiguredURL(g, k.JwksUrl, config)
		return ".jwks_url", err
	}
	return "", fmt.Errorf("found no keys, expected one of jwks_url, jwks_file, public_key, secret")
}

// fix makes one key the issuer's only one.
func (i *tokenIssuer) fix(key any) error {
	algorithms := algorithmsOf(key)
	if algorithms == nil {
		return fmt.Errorf("found a key of a kind or size that is not used for tokens; "+
			"expected RSA of %d to %d bits, ECDSA P-256, P-384, P-521, or Ed25519", minRSABits, maxRSABits)
	}
	set := &keySet{single: true, keys: []tokenKey{{algorithms: algorithms, key: key}}}
	if i.fixed = set.restrict(i.algorithms); len(i.fixed.keys) == 0 {
		return fmt.Errorf("the configured algorithms %v do not fit the key, which can do %v", i.algorithms, algorithms)
	}
	return nil
}

func (i *tokenIssuer) readSecret(g *Generation, value, keyID string) error {
	text, err := g.Secret(value)
	if err != nil {
		return err
	}
	if len(text) < minSecretBytes {
		return fmt.Errorf("found a secret of %d bytes, expected %d at least", len(text), minSecretBytes)
	}
	if err := i.fix([]byte(text)); err != nil {
		return err
	}
	i.signs = &tokenSigner{method: jwt.GetSigningMethod(i.fixed.keys[0].algorithms[0]), key: []byte(text), keyID: keyID}
	return nil
}

// openConfiguredURL opens the key set of jwks_url.
func openConfiguredURL(g *Generation, value string, config *transomv1.JwtIssuer) (*keySource, error) {
	address, err := g.Secret(value)
	if err != nil {
		return nil, err
	}
	if err := checkKeyURL(address); err != nil {
		return nil, err
	}
	if cleartext(address) {
		g.Log.Warn("the keys of a token issuer are fetched without TLS: whoever is on the way can replace them", "issuer", config.GetIssuer())
	}
	every := defaultKeyRefresh
	if config.GetRefresh() != nil {
		if every = config.GetRefresh().AsDuration(); every < time.Second {
			return nil, fmt.Errorf("the refresh is %v, expected one second at least", every)
		}
	}
	return openKeyURL(g, config.GetIssuer(), address, every)
}

// readSigner reads the private key that login signs with.
func (i *tokenIssuer) readSigner(g *Generation, config *transomv1.JwtIssuer) error {
	if _, ok := config.GetKeys().(*transomv1.JwtIssuer_Secret); ok {
		return fmt.Errorf("found a private key beside a secret; tokens are signed with the secret: remove it")
	}
	text, err := g.Secret(config.GetPrivateKey())
	if err != nil {
		return err
	}
	signer, err := parsePrivateKey(text)
	if err != nil {
		return fmt.Errorf("found %w", err)
	}
	algorithms := algorithmsOf(signer.Public())
	if algorithms == nil {
		return fmt.Errorf("found a private key that is too weak or of a kind that is not used for tokens")
	}
	if i.fixed != nil && !reflect.DeepEqual(i.fixed.keys[0].key, signer.Public()) {
		return fmt.Errorf("the private key does not belong to public_key")
	}
	if len(i.algorithms) > 0 {
		algorithms = slices.DeleteFunc(slices.Clone(algorithms), func(a string) bool { return !slices.Contains(i.algorithms, a) })
		if len(algorithms) == 0 {
			return fmt.Errorf("the configured algorithms %v do not fit the private key", i.algorithms)
		}
	}
	i.signs = &tokenSigner{method: jwt.GetSigningMethod(algorithms[0]), key: signer, keyID: config.GetKeyId()}
	return nil
}
