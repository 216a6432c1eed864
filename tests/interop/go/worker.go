// SPDX-License-Identifier: Apache-2.0
// go run worker.go nats://127.0.0.1:8094 ID
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
)

type query struct{ credit, over chan bool }

var queries sync.Map
var busy sync.WaitGroup

func say(m *nats.Msg, text string, fields ...any) {
	r := nats.NewMsg(m.Reply)
	for r.Data = []byte(text); len(fields) > 0; fields = fields[2:] {
		r.Header.Set(fields[0].(string), fmt.Sprint(fields[1]))
	}
	m.RespondMsg(r)
}

func count(m *nats.Msg, q query) { // "N": an answer; "N MS": a part every MS
	var n, ms int
	if k, _ := fmt.Sscan(string(m.Data), &n, &ms); k == 0 {
		say(m, "", "Nats-Service-Error-Code", 400,
			"Nats-Service-Error", "say a number")
		return
	} else if k == 1 {
		say(m, fmt.Sprint("so many: ", n))
		return
	}
	for i := 0; i < n; i++ {
		select {
		case <-q.credit:
			say(m, fmt.Sprintln(i), "Ocf-Seq", i)
			time.Sleep(time.Duration(ms) * time.Millisecond)
		case <-q.over:
			say(m, "", "Nats-Service-Error-Code", 499)
			return
		}
	}
	say(m, "", "Ocf-End", n)
}

func take(m *nats.Msg) {
	q := query{make(chan bool, 1024), make(chan bool, 8)}
	for i := 0; i < 16; i++ {
		q.credit <- true
	}
	queries.Store(m.Header.Get("Ocf-Req-Id"), q)
	busy.Add(1)
	go func() {
		defer busy.Done()
		count(m, q)
		queries.Delete(m.Header.Get("Ocf-Req-Id"))
	}()
}

func control(m *nats.Msg) {
	var c struct {
		Op, Id string
		N      int
	}
	json.Unmarshal(m.Data, &c)
	q, ok := queries.Load(c.Id)
	for ; ok && c.Op == "credit" && c.N > 0; c.N-- {
		q.(query).credit <- true
	}
	if ok && c.Op == "cancel" {
		q.(query).over <- true
		fmt.Println("cancelled", c.Id)
	}
}

func main() {
	id, text := os.Args[2], `{"v":1,"id":%q,"status":%q,"slots":4,`+
		`"client_id":%d,"services":[{"name":"count","match":["lang=go"]}]}`
	nc, err := nats.Connect(os.Args[1], nats.MaxReconnects(-1))
	if err != nil {
		panic(err)
	}
	announce := func(status string) {
		number, _ := nc.GetClientID()
		nc.Publish("worker:status", []byte(fmt.Sprintf(text, id, status, number)))
	}
	nc.Subscribe("ocf.d."+id, take)
	nc.Subscribe("ocf.c."+id, control)
	nc.Subscribe("ocf.hello", func(m *nats.Msg) { announce("connected") })
	stop, tick := make(chan os.Signal, 1), time.Tick(5*time.Second)
	for signal.Notify(stop, syscall.SIGTERM); ; {
		announce("connected")
		select {
		case <-tick:
		case <-stop:
			announce("draining")
			busy.Wait()
			announce("disconnected")
			nc.Flush()
			return
		}
	}
}
