package model

import (
	"testing"
	"time"
)

func check(t *testing.T, l Log, lim Limit) Result {
	t.Helper()
	r := search[logState](NewLog(l), lim)
	t.Logf("%v without %v: %v", l.Terms, All.Without(l.Rules), r)
	return r
}

func TestX22(t *testing.T) {
	check(t, Log{Rules: All, Terms: 2, Length: 2, Values: 2, Liar: true, Live: true, Bases: true}, Limit{Trace: true, Time: 20 * time.Second})
	check(t, Log{Rules: All, Terms: 2, Length: 2, Values: 3, Liar: true, Live: true, Bases: true}, Limit{Trace: true, Time: 20 * time.Second})
}
func TestX32(t *testing.T) {
	check(t, Log{Rules: All, Terms: 3, Length: 2, Values: 2, Liar: true, Live: true, Bases: true}, Limit{Time: 20 * time.Second, Every: func(a, b, c int) { t.Log(a, b, c) }})
}
