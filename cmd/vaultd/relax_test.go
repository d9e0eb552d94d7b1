package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
)

// printSlack is a program of the tests: it relaxes, as vaultd does, and prints its process
// and what slack a thread has that Go made.
func printSlack() {
	relax()
	got := make(chan int)
	go func() {
		runtime.LockOSThread()
		got <- slack()
	}()
	fmt.Println(os.Getpid(), <-got, strings.Join(os.Args[1:], " "))
}

// The program that runs in the end is the same process with the same arguments, and its
// threads have the slack.
func TestRelax(t *testing.T) {
	cmd := exec.Command("slack", "a", "b c")
	var out strings.Builder
	cmd.Stdout = &out
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintln(cmd.Process.Pid, timerSlack, "a", "b c"); out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}
