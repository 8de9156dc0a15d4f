// Command probe is the small client and server of the cluster tests: it answers HTTP with one text, asks
// for a URL, or waits to be asked by kubectl exec.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const usage = "usage: probe wait | probe serve ADDRESS TEXT | probe get URL [SECONDS]"

func main() {
	args := append(os.Args[1:], "", "", "")
	switch args[0] {
	case "wait":
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
		<-signals
	case "serve":
		http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, args[2]) })
		fail(http.ListenAndServe(args[1], nil))
	case "get":
		fail(get(args[1], args[2]))
	default:
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
}

// get prints the body of an answer and fails unless the status is 200.
func get(url, seconds string) error {
	limit := 3 * time.Second
	if seconds != "" {
		var err error
		if limit, err = time.ParseDuration(seconds + "s"); err != nil {
			return err
		}
	}
	client := http.Client{Timeout: limit}
	response, err := client.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(os.Stdout, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", url, response.Status)
	}
	return nil
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
