// A session with the client that openapi-generator makes for Java: writes, a walk by cursor, an incident, a search, statistics.
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.openapitools.client.ApiClient;
import org.openapitools.client.api.AuditsApi;
import org.openapitools.client.api.IncidentsApi;
import org.openapitools.client.api.SearchApi;
import org.openapitools.client.api.StatisticsApi;
import org.openapitools.client.model.IncidentListResponse;
import org.openapitools.client.model.RemediationAudit;
import org.openapitools.client.model.Search;

public class Session {
    static final int COUNT = 25;

    static void check(boolean holds, Object what) {
        if (!holds) throw new AssertionError(what);
    }

    public static void main(String[] arguments) throws Exception {
        ApiClient client = new ApiClient();
        client.updateBaseUri(arguments[0]);
        client.setRequestInterceptor(request -> request.header("Authorization", "Bearer " + arguments[1]));
        for (int n = 0; n < COUNT; n++) {
            RemediationAudit audit = new RemediationAudit().remediationRequestID("java-" + n).alertName("JavaAlert").namespace("shop")
                .cluster("c-1").severity("high").status("completed").actionType("scale").reasoning("requests are slow").durationMs(1500L);
            check(new AuditsApi(client).writeRemediationAudit(audit, null, null).getStatus().getValue().equals("persisted"), n);
        }
        IncidentsApi incidents = new IncidentsApi(client);
        Set<Long> seen = new HashSet<>();
        String cursor = null;
        do {
            IncidentListResponse page = incidents.listIncidents(List.of("JavaAlert"), null, null, null, null, null, null, null, null, null, "1h", null,
                null, 10L, 0L, true, cursor, null, null);
            check(page.getPagination().getTotal() == COUNT, page);
            page.getData().forEach(incident -> check(seen.add(incident.getId()), incident));
            cursor = page.getPagination().getNextCursor();
        } while (cursor != null);
        check(seen.size() == COUNT, seen);
        check(incidents.getIncidentByID(seen.iterator().next(), null, null).getAudits().size() == 1, seen);
        long total = new StatisticsApi(client).getSuccessRates("alert_name,day", List.of("JavaAlert"), null, null, null, null, null, null, null,
            null, null, null, null, 100L, null, null, null).getData().stream().mapToLong(group -> group.getN()).sum();
        check(total == COUNT, total);
        check(new SearchApi(client).searchIncidents(new Search().query("slow requests"), null).getCoverage().getIncidents() >= COUNT, "searched");
        System.out.println("java: ok");
    }
}
