package token

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/transom-gateway/transom/internal/span"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/auth"
	"github.com/transom-gateway/transom/policy/auth/token/keys"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// defaultLeeway is the tolerance for clocks.
const defaultLeeway = 30 * time.Second

// Issuers are the configuration's auth.jwt, with what remembers their tokens. A token
// that an older generation verified is verified again: its issuer may have been
// taken away.
type Issuers struct {
	list    []*Issuer
	config  []*transomv1.JwtIssuer
	cache   *cache
	revoked *revocations
	now     func() time.Time
}

// Of are the issuers of a generation.
func Of(g *policy.Generation) *Issuers { return policy.Shared(g, openIssuers) }

// openIssuers reads the configuration's auth.jwt. Problems are noted at the
// configuration's own fields.
func openIssuers(g *policy.Generation) *Issuers {
	all := &Issuers{config: g.Config.GetAuth().GetJwt(), cache: newCache(), now: g.State.Now}
	for n, config := range all.config {
		path := fmt.Sprintf("auth.jwt[%d]", n)
		issuer, field, err := newIssuer(g, config)
		if err != nil {
			g.RefuseConfig(path+field, err)
			continue
		}
		if all.Find(issuer.Name) != nil {
			g.RefuseConfig(path+".issuer", fmt.Errorf("the issuer %q stands here a second time", issuer.Name))
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

// Find finds an issuer; nil if it is not configured.
func (all *Issuers) Find(name string) *Issuer {
	for _, i := range all.list {
		if i.Name == name {
			return i
		}
	}
	return nil
}

// Configured reports whether the configuration names the issuer, though it may
// have been refused there.
func (all *Issuers) Configured(name string) bool {
	return slices.ContainsFunc(all.config, func(j *transomv1.JwtIssuer) bool { return j.GetIssuer() == name })
}

// Missing words the refusal of an issuer that is not configured.
func (all *Issuers) Missing(name string) string {
	if len(all.config) == 0 {
		return fmt.Sprintf("found the issuer %q, but the configuration has no auth.jwt", name)
	}
	var names []string
	for _, i := range all.config {
		if i.GetIssuer() != "" && !slices.Contains(names, i.GetIssuer()) {
			names = append(names, i.GetIssuer())
		}
	}
	return fmt.Sprintf("found the issuer %q, expected one of the configuration's auth.jwt: %s", name, strings.Join(names, ", "))
}

// newIssuer makes one issuer; field is where the error belongs, with a dot
// in front.
func newIssuer(g *policy.Generation, config *transomv1.JwtIssuer) (_ *Issuer, field string, _ error) {
	i := &Issuer{
		Name: config.GetIssuer(), audience: config.GetAudience(), algorithms: config.GetAlgorithms(),
		leeway: defaultLeeway, principalClaim: "sub", rolesClaim: "roles", now: g.State.Now,
	}
	if i.Name == "" {
		return nil, ".issuer", fmt.Errorf("found nothing, expected the exact value of the claim iss")
	}
	if config.GetLeeway() != nil {
		i.leeway = config.GetLeeway().AsDuration()
		if i.leeway < 0 || i.leeway > time.Hour {
			return nil, ".leeway", fmt.Errorf("found %v, expected 0s to 1h", span.Text(i.leeway))
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

func (i *Issuer) forwardClaims(claims []string) error {
	for _, claim := range claims {
		f, err := auth.ForwardClaim(claim)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(i.forward, func(o auth.ForwardedClaim) bool { return o.Name == f.Name }) {
			return fmt.Errorf("two claims become the metadata %s", f.Name)
		}
		i.forward = append(i.forward, f)
	}
	return nil
}

func (i *Issuer) readKeys(g *policy.Generation, config *transomv1.JwtIssuer) (field string, err error) {
	known := slices.Concat(keys.HMACAlgorithms, keys.RSAAlgorithms, []string{"ES256", "ES384", "ES512", "EdDSA"})
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
		key, err := keys.ParsePublic(text)
		if err != nil {
			return ".public_key", fmt.Errorf("found %w", err)
		}
		return ".public_key", i.fix(key)
	case *transomv1.JwtIssuer_JwksFile:
		i.source, err = keys.OpenFile(g, g.Path(k.JwksFile))
		return ".jwks_file", err
	case *transomv1.JwtIssuer_JwksUrl:
		i.source, err = openConfiguredURL(g, k.JwksUrl, config)
		return ".jwks_url", err
	}
	return "", fmt.Errorf("found no keys, expected one of jwks_url, jwks_file, public_key, secret")
}

// fix makes one key the issuer's only one.
func (i *Issuer) fix(key any) error {
	algorithms := keys.AlgorithmsOf(key)
	if algorithms == nil {
		return fmt.Errorf("found a key of a kind or size that is not used for tokens; "+
			"expected RSA of %d to %d bits, ECDSA P-256, P-384, P-521, or Ed25519", keys.MinRSABits, keys.MaxRSABits)
	}
	set := &keys.Set{Single: true, Keys: []keys.Key{{Algorithms: algorithms, Key: key}}}
	if i.fixed = set.Restrict(i.algorithms); len(i.fixed.Keys) == 0 {
		return fmt.Errorf("the configured algorithms %v do not fit the key, which can do %v", i.algorithms, algorithms)
	}
	return nil
}

func (i *Issuer) readSecret(g *policy.Generation, value, keyID string) error {
	text, err := g.Secret(value)
	if err != nil {
		return err
	}
	if len(text) < keys.MinSecretBytes {
		return fmt.Errorf("found a secret of %d bytes, expected %d at least", len(text), keys.MinSecretBytes)
	}
	if err := i.fix([]byte(text)); err != nil {
		return err
	}
	i.signs = &tokenSigner{method: jwt.GetSigningMethod(i.fixed.Keys[0].Algorithms[0]), key: []byte(text), keyID: keyID}
	return nil
}

// openConfiguredURL opens the key set of jwks_url.
func openConfiguredURL(g *policy.Generation, value string, config *transomv1.JwtIssuer) (*keys.Source, error) {
	address, err := g.Secret(value)
	if err != nil {
		return nil, err
	}
	if err := keys.CheckURL(address); err != nil {
		return nil, err
	}
	if keys.Cleartext(address) {
		g.Log.Warn("the keys of a token issuer are fetched without TLS: whoever is on the way can replace them", "issuer", config.GetIssuer())
	}
	every := keys.DefaultRefresh
	if config.GetRefresh() != nil {
		if every = config.GetRefresh().AsDuration(); every < time.Second {
			return nil, fmt.Errorf("the refresh is %v, expected one second at least", span.Text(every))
		}
	}
	return keys.OpenURL(g, config.GetIssuer(), address, every)
}

// readSigner reads the private key that login signs with.
func (i *Issuer) readSigner(g *policy.Generation, config *transomv1.JwtIssuer) error {
	if _, ok := config.GetKeys().(*transomv1.JwtIssuer_Secret); ok {
		return fmt.Errorf("found a private key beside a secret; tokens are signed with the secret: remove it")
	}
	text, err := g.Secret(config.GetPrivateKey())
	if err != nil {
		return err
	}
	signer, err := keys.ParsePrivate(text)
	if err != nil {
		return fmt.Errorf("found %w", err)
	}
	algorithms := keys.AlgorithmsOf(signer.Public())
	if algorithms == nil {
		return fmt.Errorf("found a private key that is too weak or of a kind that is not used for tokens")
	}
	if i.fixed != nil && !reflect.DeepEqual(i.fixed.Keys[0].Key, signer.Public()) {
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
