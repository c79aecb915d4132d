// Some memberlist nodes in one process, for membership.py; speaks as membership_host.py does.
//
// Defaults of its LAN profile, with an AES key. A suspicion is no event of memberlist, so none is
// told. Built with GO111MODULE=off against Debian's golang-github-hashicorp-memberlist-dev.
package main

import (
	"bufio"
	"crypto/sha256"
	"flag"
	"fmt"
	"io/ioutil"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"github.com/hashicorp/memberlist"
)

const clockMonotonic = 1

// As kinship_host.py does: whoever finds no seed asks again.
const joinTriesMax = 60
const joinPause = 500 * time.Millisecond

var output sync.Mutex

func monotonicS() float64 {
	var now syscall.Timespec
	syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clockMonotonic, uintptr(unsafe.Pointer(&now)), 0)
	return float64(now.Sec) + float64(now.Nsec)/1e9
}

func say(format string, values ...interface{}) {
	output.Lock()
	defer output.Unlock()
	fmt.Printf(format+"\n", values...)
}

type watcher struct{ observer string }

func (w watcher) saw(node *memberlist.Node, state string) {
	if node.Name != w.observer {
		say("saw %.6f %s %s %s", monotonicS(), w.observer, node.Name, state)
	}
}

func (w watcher) NotifyJoin(node *memberlist.Node)  { w.saw(node, "alive") }
func (w watcher) NotifyLeave(node *memberlist.Node) { w.saw(node, "dead") }
func (w watcher) NotifyUpdate(*memberlist.Node)     {}

func start(index int, ip string, port int) *memberlist.Memberlist {
	key := sha256.Sum256([]byte("benchmark"))
	config := memberlist.DefaultLANConfig()
	config.Name = strconv.Itoa(index)
	config.BindAddr, config.AdvertiseAddr = ip, ip
	config.BindPort, config.AdvertisePort = port, port
	config.SecretKey = key[:16]
	config.Events = watcher{config.Name}
	config.LogOutput = ioutil.Discard
	node, err := memberlist.Create(config)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return node
}

func join(nodes map[int]*memberlist.Memberlist, seed int, address string) {
	var done sync.WaitGroup
	for index, node := range nodes {
		if index == seed {
			continue
		}
		done.Add(1)
		go func(node *memberlist.Memberlist) {
			defer done.Done()
			for try := 0; try < joinTriesMax; try++ {
				_, err := node.Join([]string{address})
				if err == nil {
					return
				}
				fmt.Fprintln(os.Stderr, "memberlist: asks again:", err)
				time.Sleep(joinPause)
			}
		}(node)
	}
	done.Wait()
}

func main() {
	first := flag.Int("first", 0, "number of the first node")
	count := flag.Int("count", 1, "how many")
	flag.Int("total", 0, "for others")
	ip := flag.String("ip", "", "address of all")
	port := flag.Int("port", 0, "of the first node")
	flag.Parse()
	nodes := map[int]*memberlist.Memberlist{}
	for at := 0; at < *count; at++ {
		nodes[*first+at] = start(*first+at, *ip, *port+at)
	}
	say("ready")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		seed, err := strconv.Atoi(words[3])
		if err != nil {
			panic(err)
		}
		join(nodes, seed, words[1]+":"+words[2])
	}
}
