// publish NAMESPACE KEY...: tells coherd that keys are no longer true, and prints the event's id.
// COHERD_URL is any instance, COHERD_TOKEN a token with the right `invalidate`, if there are tokens.
// Only the standard library: go run publish.go users 42
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"
)

// Event says what is no longer true.
type Event struct {
	Namespace string   `json:"namespace,omitempty"`
	Keys      []string `json:"keys,omitempty"`
	Prefixes  []string `json:"prefixes,omitempty"`
	Tags      []string `json:"tags,omitempty"`
	All       bool     `json:"all,omitempty"`
	Soft      bool     `json:"soft,omitempty"`
	Source    string   `json:"source,omitempty"`
	Reason    string   `json:"reason,omitempty"`
	RequestID string   `json:"request_id,omitempty"`
}

// errRefused is an answer that another attempt would not change.
var errRefused = errors.New("refused")

// Publish says it until an instance has logged it, and returns the id of the event.
func Publish(ctx context.Context, url, token string, event Event) (string, error) {
	if event.RequestID == "" {
		// With a request_id it is logged once, however often it is said.
		id := make([]byte, 16)
		if _, err := rand.Read(id); err != nil {
			return "", err
		}
		event.RequestID = hex.EncodeToString(id)
	}
	body, err := json.Marshal(event)
	if err != nil {
		return "", err
	}
	for pause := 200 * time.Millisecond; ; pause *= 2 {
		id, after, err := attempt(ctx, url, token, body)
		if err == nil || errors.Is(err, errRefused) {
			return id, err
		}
		select {
		case <-ctx.Done():
			return "", err
		case <-time.After(max(pause, after)):
		}
	}
}

// attempt says it once; beside an error, how long the instance asks to wait.
func attempt(ctx context.Context, url, token string, body []byte) (string, time.Duration, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v1/invalidate", bytes.NewReader(body))
	if err != nil {
		return "", 0, fmt.Errorf("%w: %w", errRefused, err)
	}
	request.Header.Set("Content-Type", "application/json")
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", 0, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err != nil {
		return "", 0, err
	}
	switch {
	case answer.StatusCode == http.StatusServiceUnavailable:
		seconds, _ := strconv.Atoi(answer.Header.Get("Retry-After"))
		return "", time.Duration(seconds) * time.Second, fmt.Errorf("%s: %s", answer.Status, text)
	case answer.StatusCode >= 300:
		return "", 0, fmt.Errorf("%w: %s: %s", errRefused, answer.Status, text)
	}
	var logged struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(text, &logged); err != nil {
		return "", 0, fmt.Errorf("%w: %w", errRefused, err)
	}
	return logged.ID, 0, nil
}

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "publish NAMESPACE KEY...")
		os.Exit(2)
	}
	url := os.Getenv("COHERD_URL")
	if url == "" {
		url = "http://127.0.0.1:8080"
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	event := Event{Namespace: os.Args[1], Keys: os.Args[2:], Source: "publish.go"}
	id, err := Publish(ctx, url, os.Getenv("COHERD_TOKEN"), event)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(id)
}
