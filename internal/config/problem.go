package config

import "github.com/transom-gateway/transom/internal/problem"

// Problem is one thing that is wrong with a configuration.
type Problem = problem.Problem

// Problems is all that is wrong, in the order of the file.
type Problems = problem.List
