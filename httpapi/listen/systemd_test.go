//go:build unix && !aix && !solaris

package listen_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"keyhint/httpapi/listen"
)

// helperEnv makes this test program say what it inherits.
const helperEnv = "KEYHINT_TEST_INHERIT"

func TestMain(m *testing.M) {
	if os.Getenv(helperEnv) == "" {
		os.Exit(m.Run())
	}
	sockets, err := listen.Inherited()
	if err != nil {
		fmt.Println("error:", err)
		return
	}
	fmt.Println("inherited:", sockets)
	for _, variable := range os.Environ() {
		if strings.HasPrefix(variable, "LISTEN_") {
			fmt.Println("left:", variable)
		}
	}
	for _, name := range []string{"keyhint", "keyhint-admin"} {
		l, err := sockets.Take(name)
		if err != nil {
			fmt.Println("error:", err)
			continue
		}
		conn, err := l.Accept()
		if err != nil {
			fmt.Println("error:", err)
			continue
		}
		fmt.Fprintln(conn, name)
		conn.Close()
	}
}

// inherit runs the helper as systemd would, with these files from number 3 on.
func inherit(t *testing.T, names string, pid string, files ...*os.File) string {
	t.Helper()
	command := exec.Command("sh", "-c", fmt.Sprintf(`LISTEN_FDS=%d LISTEN_FDNAMES=%q LISTEN_PID=%s; export LISTEN_FDS LISTEN_FDNAMES LISTEN_PID; exec "$0"`, len(files), names, pid), os.Args[0])
	command.Env = append(os.Environ(), helperEnv+"=1")
	command.ExtraFiles = files
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	return string(output)
}

// own stands for the helper's process id.
const own = "$$"

// file is a listener's socket, with a connection that waits in it.
func file(t *testing.T, l net.Listener) (*os.File, net.Conn) {
	t.Helper()
	t.Cleanup(func() { l.Close() })
	f, err := l.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	conn, err := net.Dial(l.Addr().Network(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return f, conn
}

func newListener(t *testing.T, network, address string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestSocketsAreInheritedByName(t *testing.T) {
	public, toPublic := file(t, newListener(t, "tcp", "127.0.0.1:0"))
	private, toPrivate := file(t, newListener(t, "unix", t.TempDir()+"/s"))
	got := inherit(t, "keyhint-admin:keyhint", own, private, public)
	if got != "inherited: keyhint, keyhint-admin\n" {
		t.Errorf("%s", got)
	}
	for want, conn := range map[string]net.Conn{"keyhint\n": toPublic, "keyhint-admin\n": toPrivate} {
		answer := make([]byte, len(want))
		if _, err := conn.Read(answer); err != nil || string(answer) != want {
			t.Errorf("%q, %v; want %q", answer, err, want)
		}
	}
}

func TestSocketsThatCannotBeUsedAreNamed(t *testing.T) {
	listening, conn := file(t, newListener(t, "tcp", "127.0.0.1:0"))
	connected, err := conn.(*net.TCPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	defer connected.Close()
	packets, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer packets.Close()
	datagrams, err := packets.File()
	if err != nil {
		t.Fatal(err)
	}
	defer datagrams.Close()
	regular, err := os.Open(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	defer regular.Close()
	const none = "systemd passed no socket: start keyhint by its socket unit, which needs FileDescriptorName="
	for _, c := range []struct {
		name, names, pid string
		files            []*os.File
		want             string
	}{
		{"none", "", own, nil, "inherited: \nerror: " + none + "keyhint\nerror: " + none + "keyhint-admin\n"},
		{"for another process", "keyhint", "1", []*os.File{listening}, "inherited: \nerror: " + none + "keyhint\nerror: " + none + "keyhint-admin\n"},
		{"another name", "keyhint.socket", own, []*os.File{listening}, "inherited: keyhint.socket\n" +
			"error: systemd passed no socket named keyhint, but keyhint.socket: write FileDescriptorName=keyhint in the socket unit\n" +
			"error: systemd passed no socket named keyhint-admin, but keyhint.socket: write FileDescriptorName=keyhint-admin in the socket unit\n"},
		{"one name twice", "keyhint:keyhint", own, []*os.File{listening, listening},
			"error: systemd passed two sockets named \"keyhint\": give each socket unit one ListenStream= and a FileDescriptorName= of its own\n"},
		{"a connection", "keyhint", own, []*os.File{connected},
			"error: systemd passed \"keyhint\", which is not a listening stream socket: use ListenStream= and Accept=no in its socket unit\n"},
		{"datagrams", "keyhint", own, []*os.File{datagrams},
			"error: systemd passed \"keyhint\", which is not a listening stream socket: use ListenStream= and Accept=no in its socket unit\n"},
		{"a file", "keyhint", own, []*os.File{regular},
			"error: systemd passed \"keyhint\", which is not a listening stream socket: use ListenStream= and Accept=no in its socket unit\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := inherit(t, c.names, c.pid, c.files...); got != c.want {
				t.Errorf("%s", got)
			}
		})
	}
}
