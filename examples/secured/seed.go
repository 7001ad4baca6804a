package secured

// The members. These are accounts of an example; a real desk would keep salted
// hashes in a file of its own, and no password anywhere.
var seedAccounts = []struct {
	id, name, password string
	roles              []string
}{
	{"ada", "Ada Brandt", "sawdust-and-glue", []string{"member"}},
	{"ben", "Ben Okoro", "level-and-plumb", []string{"member"}},
	{"kim", "Kim Larsen", "keys-to-the-shed", []string{"member", "keeper"}},
}

var seedTools = []struct {
	name, title string
	deposit     int32
}{
	{"tools/clamps", "Six bar clamps", 1000},
	{"tools/drill", "Cordless drill", 5000},
	{"tools/jigsaw", "Jigsaw", 4000},
	{"tools/ladder", "Ladder, four metres", 3000},
	{"tools/sander", "Orbital sander", 3500},
}
