package upstream

// tableSize is the number of places in a maglev's table, a prime. With a thousand
// endpoints, each has some 65 of them.
const tableSize = 65537

// maglev is the lookup table of "Maglev: A Fast and Reliable Software Network Load
// Balancer", 3.4, with weights: the index of an endpoint for each remainder of a key.
// When an endpoint leaves, few keys but its own find another one.
type maglev []uint16

func newMaglev(endpoints []*Endpoint) maglev {
	endpoints = endpoints[:min(len(endpoints), tableSize-1)]
	most := 0.0
	rows := make([]row, len(endpoints))
	for i, e := range endpoints {
		rows[i] = newRow(e)
		most = max(most, rows[i].weight)
	}
	table := make(maglev, tableSize)
	taken := make([]bool, tableSize)
	for round, filled := 1.0, 0; ; round++ {
		for i := range rows {
			r := &rows[i]
			if round*r.weight < r.due {
				continue // those of more weight are taken more often
			}
			r.due += most
			for taken[r.at] {
				r.at = (r.at + r.skip) % tableSize
			}
			table[r.at], taken[r.at] = uint16(i), true
			if filled++; filled == tableSize {
				return table
			}
		}
	}
}

// row is the order in which an endpoint takes places in the table.
type row struct {
	at, skip    uint64
	weight, due float64
}

func newRow(e *Endpoint) row {
	return row{at: mix(e.id) % tableSize, skip: mix(^e.id)%(tableSize-1) + 1, weight: float64(e.weight.Load())}
}

// next implements order: after the key's own place it looks at others, at random.
func (t maglev) next(k CallKey, mark uint64) (int, uint64) {
	place := uint64(k) % tableSize
	if n := firstMark - mark; n > 0 {
		place = k.with(n) % tableSize
	}
	return int(t[place]), mark - 1
}
