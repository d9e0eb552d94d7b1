package model

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// walk takes random schedules of up to depth steps until the limit, and judges every successor
// it sees on the way. States counts the judged ones, with repetition.
func walk[S comparable](sys system[S], seed uint64, depth int, lim Limit) Result {
	start := time.Now()
	rng := rand.New(rand.NewPCG(seed, 1))
	var res Result
	for res.Flaw == "" && (lim.States == 0 || res.States < lim.States) && (lim.Time == 0 || time.Since(start) < lim.Time) {
		first := sys.initial()
		now := first[rng.IntN(len(first))]
		line := []string{fmt.Sprintf("%-66s %s", "start", sys.show(now))}
		for d := 0; d < depth && res.Flaw == ""; d++ {
			next, by, n := now, move{}, 0
			sys.next(now, func(r S, m move) {
				if res.Flaw != "" {
					return
				}
				n++
				res.States++
				res.Flaw = sys.flaw(r)
				if res.Flaw != "" || rng.IntN(n) == 0 {
					next, by = r, m
				}
			})
			if n == 0 {
				break
			}
			now = next
			res.Depth = max(res.Depth, d+1)
			if lim.Trace {
				line = append(line, fmt.Sprintf("%-66s %s", sys.say(by), sys.show(now)))
			}
		}
		if res.Flaw != "" {
			res.Schedule = line
		}
	}
	res.Took = time.Since(start)
	return res
}
