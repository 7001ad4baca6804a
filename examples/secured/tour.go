package secured

import "fmt"

// Tour is what to try at a gateway, as commands for a shell. The base is
// "http://host:port".
func Tour(base string) []string {
	a := seedAccounts[0]
	return []string{
		fmt.Sprintf("curl -s %s/v1/tools", base),
		fmt.Sprintf("curl -s %s/v1/me                                          # 401: nobody is signed in", base),
		fmt.Sprintf(`curl -s -c /tmp/desk --json '{"user":"%s","password":"%s"}' %s/v1/session`, a.id, a.password, base),
		fmt.Sprintf("curl -s -b /tmp/desk %s/v1/me", base),
		fmt.Sprintf(`curl -s -b /tmp/desk --json '{"days":3}' %s/v1/tools/drill:borrow`, base),
	}
}
