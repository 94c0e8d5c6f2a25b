// Command carom is the redirect engine: it reads the settings, picks the parts, starts them in order and stops them in
// reverse; and it has the commands that look after its data.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/carom-dev/carom/cmd/carom/internal/setting"
)

// The exit codes.
const (
	exitOK    = 0
	exitFail  = 1 // what was asked could not be done
	exitUsage = 2 // a setting or an argument is wrong
)

// commands is the whole command line.
type commands struct {
	Serve       serveCommand   `cmd:"" help:"Serve redirects and the API."`
	Migrate     migrateCommand `cmd:"" help:"Bring the store's schema up to date."`
	Keys        keysCommand    `cmd:"" help:"Make, list and revoke API keys."`
	Import      importCommand  `cmd:"" help:"Import links from CSV or NDJSON."`
	Export      exportCommand  `cmd:"" help:"Export links or clicks as CSV or NDJSON."`
	Health      healthCommand  `cmd:"" help:"Ask a running Carom whether it is ready; exit 0 or 1."`
	CheckConfig checkCommand   `cmd:"" help:"Check the settings and show each with its origin."`
	Version     versionCommand `cmd:"" help:"Show the version."`
}

// terminal is where a command reads and writes. A command gets all of its outside world through it and the context.
type terminal struct {
	in       io.Reader
	out, err io.Writer
	env      *setting.Environment
}

// say writes a line for a person to standard error.
func (t *terminal) say(format string, args ...any) { fmt.Fprintf(t.err, format+"\n", args...) }

// usageError is a complaint about arguments that the parser can't make.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

func main() {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() { // ends with the process
		<-signals
		cancel()
		<-signals
		os.Exit(exitFail)
	}()
	os.Exit(run(ctx, os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr))
}

// exited carries an exit code that the parser asked for (help) out of it.
type exited int

// run is main without the process: it returns the exit code.
func run(ctx context.Context, args, environ []string, in io.Reader, out, errOut io.Writer) (code int) {
	defer func() {
		if r := recover(); r != nil {
			c, ok := r.(exited)
			if !ok {
				panic(r)
			}
			code = int(c)
		}
	}()
	t := &terminal{in: in, out: out, err: errOut, env: setting.NewEnvironment(environ)}
	parser, err := newParser(&commands{}, t)
	if err != nil {
		panic("BUG: the command line can't be built: " + err.Error())
	}
	for _, name := range t.env.Unknown(parser.Model) {
		t.say("carom: warning: the environment has %s, which is no setting; `carom check-config` lists them all", name)
	}
	parsed, err := parser.Parse(args)
	if err == nil {
		parsed.BindTo(ctx, (*context.Context)(nil))
		err = parsed.Run()
	}
	return complain(t, err)
}

// newParser makes the command line. Kong prints help itself and then asks to exit.
func newParser(c *commands, t *terminal) (*kong.Kong, error) {
	return kong.New(c,
		kong.Name("carom"),
		kong.Description("Carom is a redirect engine: a short code comes in, a redirect goes out, and the click is never lost."),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
		kong.Writers(t.out, t.err),
		kong.Exit(func(code int) { panic(exited(code)) }),
		kong.Resolvers(t.env),
		kong.ValueFormatter(helpWithVariable),
		kong.Bind(t),
	)
}

// helpWithVariable is a flag's help with the variable that sets it too.
func helpWithVariable(value *kong.Value) string {
	if value.Flag == nil {
		return value.Help
	}
	if variable := setting.VariableOf(value.Flag); variable != "" {
		return value.Help + " ($" + variable + ")"
	}
	return value.Help
}

// complain writes err as one line and picks the exit code.
func complain(t *terminal, err error) int {
	if err == nil {
		return exitOK
	}
	_, isParse := errors.AsType[*kong.ParseError](err)
	wrong, isSetting := errors.AsType[*setting.Error](err)
	line := err.Error()
	if isSetting {
		line = wrong.Error()
		if origin := t.env.Origin(wrong.Name); origin != "" {
			line += " (it is from " + origin + ")"
		}
	}
	t.say("carom: %s", strings.Join(strings.Fields(line), " "))
	_, isUsage := errors.AsType[usageError](err)
	if isParse || isSetting || isUsage {
		return exitUsage
	}
	return exitFail
}
