package policy

import (
	"context"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// defaultLeeway is the tolerance for clocks.
const defaultLeeway = 30 * time.Second

// keySourceKey is what a key source is about; generations share it.
type keySourceKey struct {
	kind, address string
	every         time.Duration
}

// compileIssuers reads the configuration's auth.jwt. Problems are noted at the
// configuration's own fields.
func (c *Compiler) compileIssuers() Problems {
	var problems Problems
	for n, config := range c.env.Config.GetAuth().GetJwt() {
		path := fmt.Sprintf("auth.jwt[%d]", n)
		issuer, field, err := c.compileIssuer(config)
		if err != nil {
			problems = append(problems, c.configProblem(path+field, err))
			continue
		}
		if c.issuer(issuer.name) != nil {
			problems = append(problems, c.configProblem(path+".issuer", fmt.Errorf("the issuer %q stands here a second time", issuer.name)))
			continue
		}
		c.issuers = append(c.issuers, issuer)
	}
	return problems
}

// configProblem is a problem at a field of the configuration.
func (c *Compiler) configProblem(path string, err error) Problem {
	where := ""
	if c.env.Position != nil {
		where = c.env.Position(path)
	}
	return problemAt(where, path+": "+err.Error())
}

// issuer finds an issuer; nil if it is not configured.
func (c *Compiler) issuer(name string) *tokenIssuer {
	for _, i := range c.issuers {
		if i.name == name {
			return i
		}
	}
	return nil
}

// compileIssuer makes one issuer; field is where the error belongs, with a dot
// in front.
func (c *Compiler) compileIssuer(config *transomv1.JwtIssuer) (_ *tokenIssuer, field string, _ error) {
	i := &tokenIssuer{
		name: config.GetIssuer(), audience: config.GetAudience(), algorithms: config.GetAlgorithms(),
		leeway: defaultLeeway, principalClaim: "sub", rolesClaim: "roles", now: c.env.State.now,
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
	if field, err := c.compileKeys(i, config); err != nil {
		return nil, field, err
	}
	if config.GetPrivateKey() != "" {
		if err := c.compileSigner(i, config); err != nil {
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

func (c *Compiler) compileKeys(i *tokenIssuer, config *transomv1.JwtIssuer) (field string, err error) {
	known := slices.Concat(hmacAlgorithms, rsaAlgorithms, []string{"ES256", "ES384", "ES512", "EdDSA"})
	for _, a := range i.algorithms {
		if !slices.Contains(known, a) {
			return ".algorithms", fmt.Errorf("found %q, expected some of %v", a, known)
		}
	}
	switch keys := config.GetKeys().(type) {
	case *transomv1.JwtIssuer_Secret:
		return ".secret", c.compileSecret(i, keys.Secret, config.GetKeyId())
	case *transomv1.JwtIssuer_PublicKey:
		text, err := c.secret(keys.PublicKey)
		if err != nil {
			return ".public_key", err
		}
		key, err := parsePublicKey(text)
		if err != nil {
			return ".public_key", fmt.Errorf("found %w", err)
		}
		return ".public_key", i.fix(key)
	case *transomv1.JwtIssuer_JwksFile:
		return ".jwks_file", c.compileKeyFile(i, keys.JwksFile)
	case *transomv1.JwtIssuer_JwksUrl:
		return ".jwks_url", c.compileKeyURL(i, keys.JwksUrl, config)
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

func (c *Compiler) compileSecret(i *tokenIssuer, value, keyID string) error {
	text, err := c.secret(value)
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

func (c *Compiler) compileKeyFile(i *tokenIssuer, name string) error {
	if !filepath.IsAbs(name) {
		name = filepath.Join(c.env.Directory, name)
	}
	read := readKeyFile(name)
	data, err := read(context.Background())
	if err != nil {
		return err
	}
	set, err := parseKeySet(data, true)
	if err != nil {
		return err
	}
	i.source, err = lease(c, keySourceKey{"file", name, keyFileRefresh}, func() (*keySource, error) {
		s := &keySource{name: name, read: read, symmetric: true, every: keyFileRefresh, last: data,
			log: c.env.State.log, report: c.env.State.keysRead, now: c.env.State.now}
		s.current.Store(set)
		return startKeySource(s, c.env.State.offline), nil
	})
	return err
}

func (c *Compiler) compileKeyURL(i *tokenIssuer, value string, config *transomv1.JwtIssuer) error {
	address, err := c.secret(value)
	if err != nil {
		return err
	}
	if err := checkKeyURL(address); err != nil {
		return err
	}
	if cleartext(address) {
		c.env.Log.Warn("the keys of a token issuer are fetched without TLS: whoever is on the way can replace them", "issuer", i.name)
	}
	every := defaultKeyRefresh
	if config.GetRefresh() != nil {
		if every = config.GetRefresh().AsDuration(); every < time.Second {
			return fmt.Errorf("the refresh is %v, expected one second at least", every)
		}
	}
	i.source, err = lease(c, keySourceKey{"url", address, every}, func() (*keySource, error) {
		return startKeySource(&keySource{name: config.GetIssuer(), read: fetchKeys(c.env.State.http, address), every: every,
			log: c.env.State.log, report: c.env.State.keysRead, now: c.env.State.now}, c.env.State.offline), nil
	})
	return err
}

// compileSigner reads the private key that login signs with.
func (c *Compiler) compileSigner(i *tokenIssuer, config *transomv1.JwtIssuer) error {
	if _, ok := config.GetKeys().(*transomv1.JwtIssuer_Secret); ok {
		return fmt.Errorf("found a private key beside a secret; tokens are signed with the secret: remove it")
	}
	text, err := c.secret(config.GetPrivateKey())
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
