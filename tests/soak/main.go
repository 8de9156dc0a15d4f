// Command soak uses kept-alive connections to the webhook again after pauses, with the HTTP client of Go, which is that
// of every API server. A server that closes an idle connection at the wrong moment shows as EOF on a POST.
//
// It prints a line for each pause and ends with 1 when a call failed, or when a connection that should have been kept
// was not used again: then nothing was tested.
package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"os"
	"strings"
	"sync"
	"time"
)

// Go's own limit for idle connections, which Kubernetes leaves as it is.
const idle = 90 * time.Second

// lane is one pause, with a client of its own.
type lane struct {
	pause time.Duration
	// How many calls were made, and how many of them on a connection that had been idle.
	calls, reused int
	failures      []string
}

func main() {
	url := flag.String("url", "", "where to post")
	authority := flag.String("ca", "", "file with the authority of the server's certificate")
	body := flag.String("body", "", "file with what is posted")
	long := flag.Duration("for", time.Hour, "how long")
	pauses := flag.String("pauses", "29s,31s,89s,91s", "pauses between two uses of a connection")
	flag.Parse()
	if err := run(*url, *authority, *body, *pauses, *long); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

func run(url, authority, body, pauses string, long time.Duration) error {
	pem, err := os.ReadFile(authority)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return fmt.Errorf("%s holds no certificate", authority)
	}
	review, err := os.ReadFile(body)
	if err != nil {
		return err
	}
	var lanes []*lane
	for _, text := range strings.Split(pauses, ",") {
		pause, err := time.ParseDuration(text)
		if err != nil {
			return err
		}
		lanes = append(lanes, &lane{pause: pause})
	}
	end := time.Now().Add(long)
	var all sync.WaitGroup
	for _, lane := range lanes {
		all.Go(func() { lane.drive(client(roots), url, review, end) })
	}
	all.Wait()
	return report(lanes)
}

// client is what client-go makes for a webhook: HTTP/1.1, connections kept for 90 seconds.
func client(roots *x509.CertPool) *http.Client {
	return &http.Client{
		Timeout: 10 * time.Second,
		Transport: &http.Transport{
			TLSClientConfig:     &tls.Config{RootCAs: roots},
			MaxIdleConnsPerHost: 25,
			IdleConnTimeout:     idle,
		},
	}
}

// drive posts, pauses and posts again until a further pause would not fit.
func (l *lane) drive(client *http.Client, url string, review []byte, end time.Time) {
	for first := true; ; first = false {
		reused, err := post(client, url, review)
		l.calls++
		if err != nil {
			l.failures = append(l.failures, err.Error())
		}
		if reused && !first {
			l.reused++
		}
		if time.Now().Add(l.pause).After(end) {
			return
		}
		time.Sleep(l.pause)
	}
}

// post tells whether the connection had been used before.
func post(client *http.Client, url string, review []byte) (bool, error) {
	request, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(review))
	if err != nil {
		return false, err
	}
	request.Header.Set("Content-Type", "application/json")
	// Go sends a request again by itself when it can make its body anew. Here a lost one must be seen.
	request.GetBody = nil
	reused := false
	trace := &httptrace.ClientTrace{GotConn: func(got httptrace.GotConnInfo) { reused = got.Reused }}
	answer, err := client.Do(request.WithContext(httptrace.WithClientTrace(request.Context(), trace)))
	if err != nil {
		return reused, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return reused, err
	}
	if answer.StatusCode != http.StatusOK {
		return reused, fmt.Errorf("%s: %s", answer.Status, text)
	}
	return reused, nil
}

func report(lanes []*lane) error {
	var wrong []error
	for _, l := range lanes {
		fmt.Printf("pause %-5s %4d calls, %4d on the same connection, %d failed\n", l.pause, l.calls, l.reused, len(l.failures))
		for _, failure := range l.failures {
			wrong = append(wrong, fmt.Errorf("after %s: %s", l.pause, failure))
		}
		if l.calls < 2 {
			wrong = append(wrong, fmt.Errorf("too short for a pause of %s", l.pause))
		}
		if l.pause < idle && l.reused != l.calls-1 {
			wrong = append(wrong, fmt.Errorf("after %s: %d of %d connections were not kept", l.pause, l.calls-1-l.reused, l.calls-1))
		}
	}
	return errors.Join(wrong...)
}
