package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// Processes that wait for a task are killed at 50 random moments (10 with -short), and other processes wait for the task again. Every result is printed
// once. A result is printed a second time only if a process is killed after it printed the result and before it deleted the record of the
// task. The test recognizes such kills by the output of the killed process.
func TestKilledTaskWaiters(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.does(t, exitDone, "login", "SERVER")
	most := 50
	if testing.Short() {
		most = 10
	}
	for kills, n := 0, 0; kills < most && !t.Failed(); n++ {
		pages := n + 1 // tells the results apart
		id := strings.TrimSpace(m.does(t, exitDone, "call", "SERVER", "report", fmt.Sprintf("pages=%d", pages), fmt.Sprintf("delay_ms=%d", max(1, 60/pages)), "--detach").stdout.String())
		result := fmt.Sprintf("report: %d pages\n", pages)
		if tasks := m.does(t, exitDone, "task", "SERVER").stdout.String(); !strings.Contains(tasks, id) {
			t.Fatalf("task %s is not remembered:\n%s", id, tasks)
		}
		printed := 0
		for printed == 0 && !t.Failed() {
			p := m.start(t, "task", "SERVER", id)
			if kills < most {
				time.Sleep(rand.N(100 * time.Millisecond)) // any moment will do
				p.kill(t)
			} else if code := p.end(t); code != exitDone {
				t.Errorf("task: exit %d\n%s", code, &p.stderr)
			}
			if !p.ProcessState.Success() {
				kills++
			}
			switch p.stdout.String() {
			case "":
			case result:
				printed++
			default:
				t.Errorf("printed %q, want %q", &p.stdout, result)
			}
		}
		if tasks := m.does(t, exitDone, "task", "SERVER").stdout.String(); strings.Contains(tasks, id) {
			t.Logf("task %s was printed by a process that was killed before it could forget it", id)
		}
	}
	if created, delivered := m.Count("task/created"), m.Count("task/delivered"); delivered < created {
		t.Errorf("%d tasks were created, %d results fetched", created, delivered)
	}
}
