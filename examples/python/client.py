#!/usr/bin/env python3
"""A client of the Data Storage Service, with the standard library alone.

    DATA_STORAGE_URL=http://127.0.0.1:8080 DATA_STORAGE_TOKEN=... python3 client.py

Posts what a remediation did, reads the incident back, looks for others like it, and asks what has worked.
"""

import http.client
import json
import os
import random
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from datetime import datetime, timezone

TRIES = 5
TIMEOUT_SECONDS = 10


class DataStorageError(Exception):
    """What the service refused, in its own words (RFC 9457)."""

    def __init__(self, status: int, problem: dict):
        super().__init__(f"{status} {problem.get('error')}: {problem.get('detail')} ({problem.get('correlation_id')})")
        self.status = status
        self.problem = problem


class DataStorage:
    def __init__(self, url: str, token: str):
        self.url = url.rstrip("/")
        self.token = token

    def post_remediation(self, audit: dict) -> tuple[str, bool]:
        """Returns the audit's id, once it is committed, and whether the service had it already."""
        body, headers = self._send("/api/v1/audit/remediation", audit)
        return body["auditID"], headers.get("Idempotent-Replayed") == "true"

    def incidents(self, **filters: str) -> Iterator[dict]:
        """All incidents that fit, newest first. A walk by cursor meets each once, however many are posted meanwhile."""
        query = {**filters, "limit": "100", "total": "false"}
        while True:
            page = self._get("/api/v1/incidents", query)
            yield from page["data"]
            if not page["pagination"]["has_more"]:
                return
            query["cursor"] = page["pagination"]["next_cursor"]

    def incident(self, incident_id: int) -> dict:
        return self._get(f"/api/v1/incidents/{incident_id}")

    def search(self, query: str, **filters: str) -> dict:
        """Incidents like this text, best first, and what worked in them."""
        return self._send("/api/v1/incidents/search", {"query": query, "filters": filters, "limit": 5})[0]

    def success_rates(self, *group_by: str) -> list[dict]:
        return self._get("/api/v1/stats/success-rate", {"group_by": ",".join(group_by)})["data"]

    def _get(self, path: str, query: dict[str, str] | None = None) -> dict:
        return self._send(f"{path}?{urllib.parse.urlencode(query or {})}")[0]

    def _send(self, path: str, body: dict | None = None) -> tuple[dict, http.client.HTTPMessage]:
        """Tries again what may succeed later. A write that was committed before its answer was lost is not written twice:
        the same content is the same audit, and the service answers with the id that it has."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers)
        for attempt in range(1, TRIES + 1):
            pause = random.uniform(0.5, 1) * 0.1 * 2**attempt
            try:
                with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
                    return json.load(answer), answer.headers
            except urllib.error.HTTPError as error:
                if error.code not in (429, 503) or attempt == TRIES:
                    raise DataStorageError(error.code, json.load(error)) from error
                pause = max(pause, float(error.headers.get("Retry-After", 0)))
            except (OSError, http.client.HTTPException):  # refused, cut off, or too slow
                if attempt == TRIES:
                    raise
            time.sleep(pause)
        raise AssertionError("the last try returns or raises")


def main() -> None:
    service = DataStorage(os.environ.get("DATA_STORAGE_URL", "http://127.0.0.1:8080"), os.environ["DATA_STORAGE_TOKEN"])

    # The time is part of the content: made once, before the first try, so that each try posts the same audit.
    now = datetime.now(timezone.utc).isoformat()
    request = f"rr-python-{time.time_ns()}"
    audit_id, known = service.post_remediation(
        {
            "remediationRequestID": request,
            "alertName": "HighMemoryUsage",
            "namespace": "production",
            "cluster": "us-west-2",
            "severity": "high",
            "actionType": "scale",
            "targetResource": "deployment/web",
            "status": "completed",
            "durationMs": 4200,
            "reasoning": "Memory grows with the request rate; more replicas spread the load.",
            "createdAt": now,
        }
    )
    print(f"audit {audit_id} {'was there already' if known else 'is persisted'}")

    walked = list(service.incidents(alert_name="HighMemoryUsage", namespace="production"))
    print(f"{len(walked)} incidents of HighMemoryUsage in production")

    found = next(incident for incident in walked if incident["remediation_request_id"] == request)
    incident = service.incident(found["id"])
    print(f"incident {incident['id']}: {incident['execution_status']} after {incident['duration']} ms, {len(incident['audits'])} audit")

    similar = service.search("pods run out of memory", cluster="us-west-2")
    for hit in similar["data"]:
        print(f"similar: incident {hit['id']}, score {hit['score']:.2f}, {hit['outcome']}")
    for action in similar["summary"]["worked"]:
        print(f"worked: {action['action_type']}")

    for group in service.success_rates("alert_name", "action_type"):
        rate = "too few to say" if group["insufficient_data"] else f"{group['success_rate']:.0%} worked"
        print(f"{group['alert_name']} with {group['action_type']}, {group['n']} times: {rate}")


if __name__ == "__main__":
    try:
        main()
    except (DataStorageError, OSError, http.client.HTTPException) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    except KeyError as error:
        sys.exit(f"{error} is not set" if error.args == ("DATA_STORAGE_TOKEN",) else f"the answer has no {error}")
