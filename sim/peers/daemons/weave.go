// One peer of weave mesh. It says in JSON lines whom it comes to know and whom it loses, and ends with its input.
//
// Usage: weave NAME HOST:PORT [TARGET-HOST:PORT]
package main

import (
	"encoding/json"
	"io"
	"log"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/weaveworks/mesh"
)

const look = 20 * time.Millisecond

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
	id, err := mesh.PeerNameFromUserInput(name)
	if err != nil {
		log.Fatal(err)
	}
	router, err := mesh.NewRouter(mesh.Config{
		Host:               host,
		Port:               port,
		Password:           []byte("a password of the bench"),
		ConnLimit:          1000,
		ProtocolMinVersion: mesh.ProtocolMinVersion,
		PeerDiscovery:      true,
	}, id, name, mesh.NullOverlay{}, log.New(io.Discard, "", 0))
	if err != nil {
		log.Fatal(err)
	}
	lines := json.NewEncoder(os.Stdout)
	router.Peers.OnGC(func(peer *mesh.Peer) {
		lines.Encode(map[string]string{"event": "peer-down", "peer": peer.NickName})
	})
	router.Start()
	router.ConnectionMaker.InitiateConnections(os.Args[3:], true)

	// It has no call for a peer that is new. Looking ends when everybody is there: it would be measured.
	go func() {
		wanted, err := strconv.Atoi(os.Getenv("PEERS"))
		if err != nil {
			log.Fatal("PEERS: ", err)
		}
		known := map[string]bool{name: true}
		for len(known) < wanted {
			time.Sleep(look)
			for _, peer := range router.Peers.Descriptions() {
				if !known[peer.NickName] && peer.NickName != "" {
					known[peer.NickName] = true
					lines.Encode(map[string]string{"event": "peer-up", "peer": peer.NickName})
				}
			}
		}
	}()
	io.Copy(io.Discard, os.Stdin)
}
