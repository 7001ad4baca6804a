package gateway

import "github.com/transom-gateway/transom/internal/problem"

// Problem is one thing that is wrong with the inputs.
type Problem = problem.Problem

// Problems is all that is wrong with them.
type Problems = problem.List
