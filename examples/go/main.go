// A client of the Data Storage Service, with the standard library alone.
//
//	DATA_STORAGE_URL=http://127.0.0.1:8080 DATA_STORAGE_TOKEN=... go run main.go
//
// Posts what a remediation did, reads the incident back, looks for others like it, and asks what has worked.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	tries   = 5
	timeout = 10 * time.Second
)

// RemediationAudit is what a controller did. Zero values mean that a fact is not known.
type RemediationAudit struct {
	RemediationRequestID string    `json:"remediationRequestID"`
	AlertName            string    `json:"alertName"`
	Namespace            string    `json:"namespace"`
	Cluster              string    `json:"cluster"`
	Severity             string    `json:"severity,omitempty"`
	ActionType           string    `json:"actionType,omitempty"`
	TargetResource       string    `json:"targetResource,omitempty"`
	Status               string    `json:"status,omitempty"`
	DurationMs           int64     `json:"durationMs,omitempty"`
	Reasoning            string    `json:"reasoning,omitempty"`
	CreatedAt            time.Time `json:"createdAt"`
}

// Incident is one remediation request as all its audits tell of it. What is not known yet is nil.
type Incident struct {
	ID                   int64  `json:"id"`
	RemediationRequestID string `json:"remediation_request_id"`
	ExecutionStatus      string `json:"execution_status"`
	DurationMs           *int64 `json:"duration"`
	Audits               []struct {
		AuditID string `json:"auditID"`
	} `json:"audits"` // of one incident, not in lists
}

// Similar is the answer to a search.
type Similar struct {
	Data []struct {
		Incident
		Score   float64 `json:"score"`
		Outcome string  `json:"outcome"`
	} `json:"data"`
	Summary struct {
		Worked []struct {
			ActionType string `json:"action_type"`
		} `json:"worked"`
	} `json:"summary"`
}

// SuccessRate says how often an action worked.
type SuccessRate struct {
	AlertName        string   `json:"alert_name"`
	ActionType       *string  `json:"action_type"`
	N                int64    `json:"n"`
	Rate             *float64 `json:"success_rate"`
	InsufficientData bool     `json:"insufficient_data"`
}

// Problem is what the service refused, in its own words (RFC 9457).
type Problem struct {
	Status        int    `json:"status"`
	Kind          string `json:"error"`
	Detail        string `json:"detail"`
	Field         string `json:"field"`
	CorrelationID string `json:"correlation_id"`
}

func (p *Problem) Error() string {
	return fmt.Sprintf("%d %s: %s (%s)", p.Status, p.Kind, p.Detail, p.CorrelationID)
}

// Client calls one service with one token.
type Client struct {
	URL   string
	Token string
	HTTP  http.Client
}

// PostRemediation returns the audit's id, once it is committed, and whether the service had it already.
func (c *Client) PostRemediation(ctx context.Context, audit RemediationAudit) (id string, known bool, err error) {
	var answer struct {
		AuditID string `json:"auditID"`
	}
	header, err := c.send(ctx, "/api/v1/audit/remediation", audit, &answer)
	return answer.AuditID, header.Get("Idempotent-Replayed") == "true", err
}

// Incidents hands each incident that fits to visit, newest first. A walk by cursor meets each once, however many are posted meanwhile.
func (c *Client) Incidents(ctx context.Context, filters url.Values, visit func(Incident)) error {
	query := url.Values{"limit": {"100"}, "total": {"false"}}
	for name, values := range filters {
		query[name] = values
	}
	for {
		var page struct {
			Data       []Incident `json:"data"`
			Pagination struct {
				NextCursor string `json:"next_cursor"`
			} `json:"pagination"`
		}
		if _, err := c.send(ctx, "/api/v1/incidents?"+query.Encode(), nil, &page); err != nil {
			return err
		}
		for _, incident := range page.Data {
			visit(incident)
		}
		if page.Pagination.NextCursor == "" {
			return nil
		}
		query.Set("cursor", page.Pagination.NextCursor)
	}
}

// Incident reads one with its audits.
func (c *Client) Incident(ctx context.Context, id int64) (incident Incident, err error) {
	_, err = c.send(ctx, fmt.Sprintf("/api/v1/incidents/%d", id), nil, &incident)
	return incident, err
}

// Search finds incidents like this text, best first, and what worked in them.
func (c *Client) Search(ctx context.Context, query string, filters map[string]string) (similar Similar, err error) {
	body := map[string]any{"query": query, "filters": filters, "limit": 5}
	_, err = c.send(ctx, "/api/v1/incidents/search", body, &similar)
	return similar, err
}

// SuccessRates counts by one or more facts.
func (c *Client) SuccessRates(ctx context.Context, groupBy ...string) ([]SuccessRate, error) {
	var answer struct {
		Data []SuccessRate `json:"data"`
	}
	query := url.Values{"group_by": {strings.Join(groupBy, ",")}}
	_, err := c.send(ctx, "/api/v1/stats/success-rate?"+query.Encode(), nil, &answer)
	return answer.Data, err
}

// send tries again what may succeed later. A write that was committed before its answer was lost is not written twice: the same
// content is the same audit, and the service answers with the id that it has.
func (c *Client) send(ctx context.Context, path string, body, into any) (http.Header, error) {
	var content []byte
	if body != nil {
		var err error
		if content, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	for attempt := 1; ; attempt++ {
		header, err := c.try(ctx, path, content, into)
		var problem *Problem
		final := errors.As(err, &problem) && problem.Status != http.StatusTooManyRequests && problem.Status != http.StatusServiceUnavailable
		if err == nil || final || attempt == tries {
			return header, err
		}
		pause := time.Duration((0.5 + rand.Float64()/2) * float64(100*time.Millisecond) * float64(int(1)<<attempt))
		if seconds, err := strconv.Atoi(header.Get("Retry-After")); err == nil && time.Duration(seconds)*time.Second > pause {
			pause = time.Duration(seconds) * time.Second
		}
		select {
		case <-ctx.Done():
			return header, ctx.Err()
		case <-time.After(pause):
		}
	}
}

func (c *Client) try(ctx context.Context, path string, content []byte, into any) (http.Header, error) {
	method := http.MethodGet
	if content != nil {
		method = http.MethodPost
	}
	request, err := http.NewRequestWithContext(ctx, method, c.URL+path, bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+c.Token)
	request.Header.Set("Content-Type", "application/json")
	answer, err := c.HTTP.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return answer.Header, err
	}
	if answer.StatusCode/100 != 2 {
		problem := &Problem{Detail: string(text)}
		_ = json.Unmarshal(text, problem) // what is no problem document is shown as it came
		problem.Status = answer.StatusCode
		return answer.Header, problem
	}
	return answer.Header, json.Unmarshal(text, into)
}

func run(ctx context.Context) error {
	base := os.Getenv("DATA_STORAGE_URL")
	if base == "" {
		base = "http://127.0.0.1:8080"
	}
	token := os.Getenv("DATA_STORAGE_TOKEN")
	if token == "" {
		return errors.New("DATA_STORAGE_TOKEN is not set")
	}
	client := &Client{URL: base, Token: token, HTTP: http.Client{Timeout: timeout}}

	request := fmt.Sprintf("rr-go-%d", time.Now().UnixNano())
	id, known, err := client.PostRemediation(ctx, RemediationAudit{
		RemediationRequestID: request,
		AlertName:            "HighMemoryUsage",
		Namespace:            "production",
		Cluster:              "us-west-2",
		Severity:             "high",
		ActionType:           "scale",
		TargetResource:       "deployment/web",
		Status:               "completed",
		DurationMs:           4200,
		Reasoning:            "Memory grows with the request rate; more replicas spread the load.",
		// Part of the content: made once, before the first try, so that each try posts the same audit.
		CreatedAt: time.Now(),
	})
	if err != nil {
		return err
	}
	state := "is persisted"
	if known {
		state = "was there already"
	}
	fmt.Printf("audit %s %s\n", id, state)

	var count int
	var found int64
	filters := url.Values{"alert_name": {"HighMemoryUsage"}, "namespace": {"production"}}
	err = client.Incidents(ctx, filters, func(incident Incident) {
		count++
		if incident.RemediationRequestID == request {
			found = incident.ID
		}
	})
	if err != nil {
		return err
	}
	fmt.Printf("%d incidents of HighMemoryUsage in production\n", count)

	incident, err := client.Incident(ctx, found)
	if err != nil {
		return err
	}
	fmt.Printf("incident %d: %s after %d ms, %d audit\n", incident.ID, incident.ExecutionStatus, *incident.DurationMs, len(incident.Audits))

	similar, err := client.Search(ctx, "pods run out of memory", map[string]string{"cluster": "us-west-2"})
	if err != nil {
		return err
	}
	for _, hit := range similar.Data {
		fmt.Printf("similar: incident %d, score %.2f, %s\n", hit.ID, hit.Score, hit.Outcome)
	}
	for _, action := range similar.Summary.Worked {
		fmt.Printf("worked: %s\n", action.ActionType)
	}

	rates, err := client.SuccessRates(ctx, "alert_name", "action_type")
	if err != nil {
		return err
	}
	for _, group := range rates {
		action := "no action"
		if group.ActionType != nil {
			action = *group.ActionType
		}
		rate := "too few to say"
		if !group.InsufficientData && group.Rate != nil {
			rate = fmt.Sprintf("%.0f %% worked", 100**group.Rate)
		}
		fmt.Printf("%s with %s, %d times: %s\n", group.AlertName, action, group.N, rate)
	}
	return nil
}

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}
