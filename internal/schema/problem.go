package schema

import "github.com/transom-gateway/transom/internal/problem"

// Problem is one thing wrong with a schema. Where it belongs to no one file, File is the
// name of the source, with the file behind a colon when that is not a folder.
type Problem = problem.Problem

// Problems is what one load found, sorted. Warnings cost nothing of what the schema
// offers, or only the part that they name.
type Problems = problem.List
