// One member of a memberlist. It says in JSON lines whom it comes to know and whom it loses, and ends with its input.
//
// Usage: memberlist NAME HOST:PORT [TARGET-HOST:PORT]
package main

import (
	"encoding/json"
	"io"
	"log"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

type teller struct {
	sync.Mutex
	name  string
	lines *json.Encoder
}

func (t *teller) tell(event string, node *memberlist.Node) {
	t.Lock()
	defer t.Unlock()
	if node.Name != t.name {
		t.lines.Encode(map[string]string{"event": event, "peer": node.Name})
	}
}

func (t *teller) NotifyJoin(node *memberlist.Node)   { t.tell("peer-up", node) }
func (t *teller) NotifyLeave(node *memberlist.Node)  { t.tell("peer-down", node) }
func (t *teller) NotifyUpdate(node *memberlist.Node) {}

func main() {
	name, address := os.Args[1], os.Args[2]
	host, portText, err := net.SplitHostPort(address)
	if err != nil {
		log.Fatal(err)
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		log.Fatal(err)
	}
	config := memberlist.DefaultLANConfig()
	config.Name = name
	config.BindAddr = host
	config.BindPort = port
	config.AdvertisePort = port
	config.SecretKey = []byte("a key of 16 byte")
	config.LogOutput = io.Discard
	config.Events = &teller{name: name, lines: json.NewEncoder(os.Stdout)}
	members, err := memberlist.Create(config)
	if err != nil {
		log.Fatal(err)
	}
	for targets := os.Args[3:]; len(targets) > 0; time.Sleep(100 * time.Millisecond) {
		if _, err := members.Join(targets); err == nil {
			break
		}
	}
	io.Copy(io.Discard, os.Stdin)
}
