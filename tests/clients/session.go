// A session with the client that openapi-generator makes for Go: writes, a walk by cursor, an incident, a search, statistics.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	client "example.com/client"
)

const count = 25

func check(err error) {
	if err != nil {
		if api, ok := err.(*client.GenericOpenAPIError); ok {
			log.Fatalf("%v: %s", err, api.Body())
		}
		log.Fatal(err)
	}
}

func must(holds bool, what any) {
	if !holds {
		log.Fatalf("%+v", what)
	}
}

func main() {
	config := client.NewConfiguration()
	config.Servers = client.ServerConfigurations{{URL: os.Args[1]}}
	api := client.NewAPIClient(config)
	ctx := context.WithValue(context.Background(), client.ContextAccessToken, os.Args[2])
	for n := range count {
		audit := client.NewRemediationAudit(fmt.Sprintf("go-%d", n))
		audit.SetAlertName("GoAlert")
		audit.SetNamespace("shop")
		audit.SetCluster("c-1")
		audit.SetSeverity("high")
		audit.SetStatus("completed")
		audit.SetActionType("scale")
		audit.SetReasoning("requests are slow")
		audit.SetDurationMs(1500)
		written, _, err := api.AuditsAPI.WriteRemediationAudit(ctx).RemediationAudit(*audit).Execute()
		check(err)
		must(written.GetStatus() == "persisted", written)
	}
	seen := map[int64]bool{}
	cursor := ""
	for {
		ask := api.IncidentsAPI.ListIncidents(ctx).AlertName([]string{"GoAlert"}).Limit(10).Offset(0).Since("1h")
		if cursor != "" {
			ask = ask.Cursor(cursor)
		}
		page, _, err := ask.Execute()
		check(err)
		must(page.Pagination.GetTotal() == count, page.Pagination)
		for _, incident := range page.Data {
			must(!seen[incident.Id], incident.Id)
			seen[incident.Id] = true
		}
		if cursor = page.Pagination.GetNextCursor(); cursor == "" {
			break
		}
	}
	must(len(seen) == count, seen)
	for id := range seen {
		incident, _, err := api.IncidentsAPI.GetIncidentByID(ctx, id).Execute()
		check(err)
		must(len(incident.Audits) == 1 && incident.Audits[0].RemediationRecord != nil, incident)
		break
	}
	rates, _, err := api.StatisticsAPI.GetSuccessRates(ctx).GroupBy("alert_name,day").AlertName([]string{"GoAlert"}).Execute()
	check(err)
	total := int64(0)
	for _, group := range rates.Data {
		total += group.N
	}
	must(total == count, rates)
	search := client.NewSearch()
	search.SetQuery("slow requests")
	found, _, err := api.SearchAPI.SearchIncidents(ctx).Search(*search).Execute()
	check(err)
	must(found.Coverage.Incidents >= count, found.Coverage)
	fmt.Println("go: ok")
}
