package tier

// TagText is the digest of a tag as entries of memory hold it, whatever the tag's length.
func TagText(tag string) string {
	d := Tag(tag)
	return string(d[:])
}

// Digests are those of TagText.
func Digests(tags []string) []Digest {
	all := make([]Digest, len(tags))
	for i, t := range tags {
		all[i] = Digest([]byte(t))
	}
	return all
}

// Narrowest is what a purge by hand drops where nobody can tell what fits all of its fields.
// It may be more than they say.
func Narrowest(rpc, tag, principal string) Digest {
	switch {
	case principal != "":
		return Principal(principal)
	case tag != "":
		return Tag(tag)
	case rpc != "":
		return RPC(rpc)
	}
	return All
}
