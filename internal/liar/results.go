//go:build liar

package liar

import (
	"fmt"
	"os"
	"strings"
)

// ResultsEnv names a file to which the tests of lies add what came of each, for the table
// that make liar ends with.
const ResultsEnv = "LIAR_RESULTS"

// Result notes what came of a lie in a world. Columns are held (empty: nothing amiss),
// without (the first harm seen without the defence) and first (time to the next signature).
func Result(world, lie, column, text string) {
	path := os.Getenv(ResultsEnv)
	if path == "" {
		return
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return // the tests themselves say the same
	}
	defer f.Close()
	_, _ = fmt.Fprintf(f, "%s\t%s\t%s\t%s\n", world, lie, column, strings.Join(strings.Fields(text), " "))
}
