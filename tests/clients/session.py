"""A session with the client that openapi-python-client makes: writes, a walk by cursor, an incident, a search, statistics."""

import sys

from data_storage_service_client import AuthenticatedClient
from data_storage_service_client.api.audits import list_audits, write_remediation_audit
from data_storage_service_client.api.incidents import get_incident_by_id, list_incidents
from data_storage_service_client.api.search import search_incidents
from data_storage_service_client.api.statistics import get_facets, get_success_rates
from data_storage_service_client.models import AuditType, RemediationAudit, Search

COUNT = 25
client = AuthenticatedClient(base_url=sys.argv[1], token=sys.argv[2], raise_on_unexpected_status=True)

for n in range(COUNT):
    audit = RemediationAudit(
        remediation_request_id=f"python-{n}", alert_name="PythonAlert", namespace="shop", cluster="c-1", severity="high",
        status="completed", action_type="scale", reasoning="requests are slow", duration_ms=1500,
    )
    written = write_remediation_audit.sync(client=client, body=audit)
    assert written.status == "persisted", written

seen, cursor = [], None
while True:
    more = {"cursor": cursor} if cursor else {}
    # The client sends the documented defaults, `offset=0` among them.
    page = list_incidents.sync(client=client, alert_name=["PythonAlert"], limit=10, since="1h", **more)
    assert page.pagination.total == COUNT, page.pagination
    seen += [incident.id for incident in page.data]
    cursor = page.pagination.next_cursor
    if not cursor:
        break
assert len(seen) == len(set(seen)) == COUNT, seen
incident = get_incident_by_id.sync(seen[0], client=client)
assert incident.conflicts == [] and len(incident.audits) == 1, incident
assert len(list_audits.sync(client=client, limit=5, type_=AuditType.REMEDIATION).data) == 5
rates = get_success_rates.sync(client=client, group_by="alert_name,day", alert_name=["PythonAlert"])
assert sum(group.n for group in rates.data) == COUNT, rates
assert get_facets.sync(client=client, fields="severity,status").data.status.values[0].count >= COUNT
found = search_incidents.sync(client=client, body=Search(query="slow requests"))
assert found.coverage.incidents >= COUNT, found.coverage
print("python: ok")
