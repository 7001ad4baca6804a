package policy

// Kinds are all kinds in the order in which they admit calls.
//
// What answers browsers (cors) and what shapes headers come first, so that they hold
// for refusals too; then the cheap bounds. Limits by the client's address stand before
// auth, for guessing credentials must be limited as well; the others stand behind it,
// for they may ask who calls, and what is refused there must not use up what others
// share.
func Kinds() []Kind {
	return []Kind{
		corsKind(),
		limitsKind(),
		earlyLimits(),
		callersKind(tokenMechanism(), sessionMechanism()),
		authorizeKind(),
		headersKind(), // its values may tell who calls
		lateLimits(),
		concurrencyKind(),
		validateKind(),
		loginKind(),
		logoutKind(),
	}
}
