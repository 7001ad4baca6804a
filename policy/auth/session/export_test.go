package session

// InMemory counts the sessions of this process.
func (s *Sessions) InMemory() int { return s.Store.(*memorySessions).used.Len() }

// PerPrincipal bounds the sessions of one principal.
const PerPrincipal = sessionsPerPrincipal
