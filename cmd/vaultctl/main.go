// Command vaultctl does everything an operator, client or auditor does with a Tetrad
// cluster: the founding ceremony, administration, signatures, and verification of the
// audit log.
//
// Results go to standard output and nothing else does; progress, questions and errors
// go to standard error. With --output json results and errors are JSON. Exit statuses:
// 0 ok, 1 failure, 2 usage, 3 sealed, 4 no leader or quorum, 5 denied, 6 outcome
// unknown, 7 verification failed.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(exitStatus(err))
}
