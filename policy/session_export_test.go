package policy

// inMemory counts the sessions of this process.
func (s *sessions) inMemory() int { return s.store.(*memorySessions).used.Len() }

// perPrincipal bounds the sessions of one principal.
const perPrincipal = sessionsPerPrincipal
