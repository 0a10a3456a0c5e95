"""An hour of everything at once, at a steady rate: audits, pages, searches, counts. What is told is the memory of the service."""

import http.client
import json
import random
import threading
import time
import urllib.parse
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

FAMILIES = Path(__file__).resolve().parent.parent / "tests/data/recall.tsv"
# Requests a second of each kind.
RATES = {"audits": 40, "pages": 20, "searches": 4, "counts": 4}
STATUSES, ACTIONS = ["executing", "completed", "completed", "failed"], ["scale", "restart", "rollback", "expand"]


class Load:
    def __init__(self, service):
        self.address = urllib.parse.urlsplit(service.base).netloc
        self.headers = {"Authorization": f"Bearer {service.token}", "Content-Type": "application/json"}
        lines = [line.rstrip("\n").split("\t") for line in open(FAMILIES) if not line.startswith("#")]
        self.families = [fields for fields in lines if len(fields) >= 4]
        self.run, self.opened = f"{time.time():.0f}", 0
        self.over, self.failed = threading.Event(), []
        self.asked = dict.fromkeys(RATES, 0)

    def audits(self, chance: random.Random):
        """Of one that opens an incident three follow, each of an incident of late."""
        if self.asked["audits"] % 4 == 0:
            self.opened += 1
            number = self.opened
        else:
            number = chance.randint(max(1, self.opened - 10_000), self.opened)
        family = self.families[number % len(self.families)]
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        body = {
            "remediationRequestID": f"rr-{self.run}-{number}", "alertName": family[0], "namespace": f"ns-{number % 50}",
            "cluster": f"cluster-{number % 4}", "priority": f"P{number % 4}", "actionType": ACTIONS[number % 4],
            "targetResource": f"deployment/app{number % 200}", "status": chance.choice(STATUSES), "confidence": 0.9,
            "reasoning": f"{family[1]} Affected: application{number % 200}-{chance.randrange(1 << 32):x}, seen {number} times.",
            "createdAt": now, "executedAt": now,
        }
        return "POST", "/api/v1/audit/remediation", body

    def pages(self, chance: random.Random):
        limit, offset = chance.choice([(10, 0), (10, 0), (100, 0), (1000, 0), (10, chance.randrange(1000))])
        of = chance.choice(["", f"&namespace=ns-{chance.randrange(50)}", "&status=failed", "&since=1h&order=oldest"])
        return "GET", f"/api/v1/incidents?limit={limit}&offset={offset}{of}", None

    def searches(self, chance: random.Random):
        family = chance.choice(self.families)
        filters = chance.choice([{}, {"namespace": f"ns-{chance.randrange(50)}"}, {"status": "failed"}])
        return "POST", "/api/v1/incidents/search", {"query": chance.choice(family[2:4]), "filters": filters}

    def counts(self, chance: random.Random):
        return "GET", chance.choice([
            "/api/v1/stats/success-rate?group_by=action_type", "/api/v1/incidents/facets", "/api/v1/stats/counts?interval=hour",
            "/api/v1/stats/success-rate?group_by=alert_name,day",
        ]), None

    def go(self, kind: str):
        connection, chance = http.client.HTTPConnection(self.address, timeout=60), random.Random(kind)
        began = time.monotonic()
        while not self.over.wait(max(0.0, began + self.asked[kind] / RATES[kind] - time.monotonic())):
            method, path, body = getattr(self, kind)(chance)
            connection.request(method, path, body and json.dumps(body), self.headers)
            answer = connection.getresponse()
            text = answer.read()
            self.asked[kind] += 1
            if answer.status >= 400:
                self.failed.append(f"{path}: {answer.status} {text[:300]}")


def run(service, minutes: int, say):
    """Says each ten minutes, and at the end, what memory the service takes."""
    while json.load(urllib.request.urlopen(service.base + "/health"))["status"] != "ok":
        time.sleep(0.2)  # the vector store's tables are made after the others
    load = Load(service)
    threads = [threading.Thread(target=load.go, args=[kind]) for kind in RATES]
    for thread in threads:
        thread.start()
    try:
        for minute in range(1, minutes + 1):
            time.sleep(60)
            if minute % 10 == 0 or minute == minutes:
                asked = ", ".join(f"{number:,} {kind}" for kind, number in load.asked.items())
                say(f"memory after {minute} minutes of mixed load", f"{service.memory():.0f} MB; {asked}; {len(load.failed)} failed")
    finally:
        load.over.set()
        for thread in threads:
            thread.join()
    for words in load.failed[:5]:
        say("failed", words)
