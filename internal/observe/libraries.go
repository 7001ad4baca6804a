package observe

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"
	"strings"

	"google.golang.org/grpc/grpclog"
)

// unsolicited is what net/http's client writes of a server that speaks first, such as a
// gRPC server that is asked by HTTP/1.1. It says so for each connection, beside the error
// that the request ends with.
const unsolicited = "Unsolicited response received on idle HTTP channel"

// AdoptLibraries has what libraries write by the packages log and log/slog, which would
// go to standard error as it is, become lines of the log, until release is called. It is
// for the program alone: both are the process's.
func (t *Telemetry) AdoptLibraries() (release func()) {
	logger, to, flags, prefix := slog.Default(), log.Writer(), log.Flags(), log.Prefix()
	slog.SetDefault(t.Log)
	log.SetFlags(0)
	log.SetPrefix("")
	log.SetOutput(libraryLines{t.Log})
	return func() {
		slog.SetDefault(logger)
		log.SetFlags(flags)
		log.SetPrefix(prefix)
		log.SetOutput(to)
	}
}

// libraryLines makes lines of the log of what the package log writes, one each.
type libraryLines struct{ log *slog.Logger }

// Write implements io.Writer.
func (l libraryLines) Write(p []byte) (int, error) {
	text, level := string(bytes.TrimRight(p, "\n")), slog.LevelWarn
	if strings.HasPrefix(text, unsolicited) {
		level = slog.LevelDebug
	}
	l.log.Log(context.Background(), level, text, "by", "a library")
	return len(p), nil
}

// GRPCLog is what grpc-go is to log by: its errors become lines of the log that
// log/slog has by default, the rest does at level DEBUG.
func GRPCLog() grpclog.LoggerV2 { return grpcLog{} }

type grpcLog struct{}

func (grpcLog) line(level slog.Level, text string) {
	slog.Default().Log(context.Background(), level, strings.TrimRight(text, "\n"), "by", "grpc-go")
}

func (g grpcLog) Info(args ...any)   { g.line(slog.LevelDebug, fmt.Sprint(args...)) }
func (g grpcLog) Infoln(args ...any) { g.line(slog.LevelDebug, fmt.Sprintln(args...)) }
func (g grpcLog) Infof(format string, args ...any) {
	g.line(slog.LevelDebug, fmt.Sprintf(format, args...))
}
func (g grpcLog) Warning(args ...any)   { g.line(slog.LevelDebug, fmt.Sprint(args...)) }
func (g grpcLog) Warningln(args ...any) { g.line(slog.LevelDebug, fmt.Sprintln(args...)) }
func (g grpcLog) Warningf(format string, args ...any) {
	g.line(slog.LevelDebug, fmt.Sprintf(format, args...))
}
func (g grpcLog) Error(args ...any)   { g.line(slog.LevelError, fmt.Sprint(args...)) }
func (g grpcLog) Errorln(args ...any) { g.line(slog.LevelError, fmt.Sprintln(args...)) }
func (g grpcLog) Errorf(format string, args ...any) {
	g.line(slog.LevelError, fmt.Sprintf(format, args...))
}

func (g grpcLog) Fatal(args ...any)                 { g.Error(args...); os.Exit(1) }
func (g grpcLog) Fatalln(args ...any)               { g.Errorln(args...); os.Exit(1) }
func (g grpcLog) Fatalf(format string, args ...any) { g.Errorf(format, args...); os.Exit(1) }

// V reports that nothing verbose is wanted.
func (grpcLog) V(int) bool { return false }
