//go:build race

package gateway_test

// raceDetector: memory is not what it is otherwise, and all is slower.
const raceDetector = true
