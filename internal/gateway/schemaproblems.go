package gateway

import (
	"context"
	"os"

	"github.com/transom-gateway/transom/internal/config"
	"github.com/transom-gateway/transom/internal/schema"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// schemaProblems looks through the schema files of a configuration that is itself
// wrong, so that people see all there is to mend at once. file is what could be
// read of it; nil for nothing.
func schemaProblems(ctx context.Context, file *config.File) Problems {
	if file == nil {
		return nil
	}
	var problems Problems
	for _, source := range file.Config.GetSchemas() {
		var files schema.Source
		folder := false
		switch s := source.GetSource().(type) {
		case *transomv1.SchemaSource_Directory:
			files, folder = schema.Directory(inDirectory(file.Directory, s.Directory)), true
		case *transomv1.SchemaSource_DescriptorSet:
			files = schema.DescriptorSet(inDirectory(file.Directory, s.DescriptorSet))
		default:
			continue // nobody asks servers by a configuration that is wrong
		}
		if info, err := os.Stat(files.Name()); err != nil || info.IsDir() != folder {
			continue // the configuration's own problems say so
		}
		_, found := files.Load(ctx)
		problems = append(problems, found...)
	}
	return problems
}
