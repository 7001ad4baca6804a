package policy

import (
	"strconv"

	"github.com/transom-gateway/transom/internal/problem"
)

// Problem is one thing that is wrong with a policy.
type Problem = problem.Problem

// Problems is what stands in the way of a Set; empty is none. Test its length,
// not against a nil error.
type Problems = problem.List

// Index is the path of an element of a list.
func Index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }
