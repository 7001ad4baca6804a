package secured

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"sync"

	"google.golang.org/protobuf/proto"

	pb "github.com/transom-gateway/transom/examples/secured/protos/lending/v1"
)

const (
	// hashRounds is what one guess costs: some hundredths of a second.
	hashRounds = 100_000
	hashBytes  = 32
	saltBytes  = 16
)

// member is somebody with a password, of which only the hash is kept.
type member struct {
	public     *pb.Member
	salt, hash []byte
}

// nobody is compared with where there is no such member, so that the time of
// an answer does not tell who is one.
var nobody = newMember(&pb.Member{}, rand.Text())

// seedMembers hashes the passwords once, for that takes its time.
var seedMembers = sync.OnceValue(func() map[string]*member {
	members := map[string]*member{}
	for _, a := range seedAccounts {
		members[a.id] = newMember(&pb.Member{Id: a.id, DisplayName: a.name, Roles: a.roles}, a.password)
	}
	return members
})

func newMember(public *pb.Member, password string) *member {
	m := &member{public: public, salt: make([]byte, saltBytes)}
	_, _ = rand.Read(m.salt) // never fails: it crashes the process instead
	m.hash = m.hashOf(password)
	return m
}

func (m *member) hashOf(password string) []byte {
	hash, err := pbkdf2.Key(sha256.New, password, m.salt, hashRounds, hashBytes)
	if err != nil {
		return nil // FIPS mode refuses short salts and keys; nobody gets in then
	}
	return hash
}

// authenticate returns a copy of the member whose password this is, or nil.
func (d *Desk) authenticate(id, password string) *pb.Member {
	m, known := d.members[id]
	if !known {
		m = nobody
	}
	hash := m.hashOf(password)
	if len(hash) == 0 || subtle.ConstantTimeCompare(hash, m.hash) == 0 || !known {
		return nil
	}
	return proto.CloneOf(m.public)
}
