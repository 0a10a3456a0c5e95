#!/usr/bin/env python3
"""Posts a plausible week of incidents to the running service, as its four writers would.

Some 500 remediation requests: alerts that come again and again, actions that work, fail, are rolled back or are still
under way, and the workflow steps of each. Nothing is posted twice: run again, it posts the same week as replays.
"""

import json
import os
import random
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path

INCIDENTS = 500
TRIES = 8

# Alert, priority, what the analysis says, the actions that are tried (with the odds that each works), an error.
FAMILIES = [
    ("HighMemoryUsage", "P1", "memory of {app} in {ns} grows with its request rate; more replicas spread the load",
     [("scale", 0.85), ("restart", 0.4)], "deployment {app} did not become available: 2 of 5 replicas ready"),
    ("KubePodCrashLooping", "P0", "{app} exits with code 137 after each start: the limit is below its working set",
     [("increase_memory_limit", 0.8), ("restart", 0.1)], "back-off restarting failed container {app}"),
    ("NodeDiskPressure", "P1", "images and logs fill the disk of the node that runs {app}",
     [("cleanup_disk", 0.9), ("drain_node", 0.7)], "eviction blocked by the disruption budget of {app}"),
    ("HighErrorRate", "P0", "{app} answers 5xx since its last rollout; the release before did not",
     [("rollback", 0.95), ("restart", 0.2)], "revision of {app} not found"),
    ("CertificateExpiringSoon", "P2", "the certificate of {app} ends within three days and was not renewed",
     [("renew_certificate", 0.9)], "challenge for {app} pending: dns record not propagated"),
    ("PersistentVolumeFillingUp", "P1", "the volume of {app} is full in six hours at the present rate",
     [("expand_volume", 0.75), ("cleanup_disk", 0.6)], "storage class of {app} does not allow expansion"),
    ("HighCPUThrottling", "P3", "{app} is throttled half of the time: its cpu limit is too low for its bursts",
     [("increase_cpu_limit", 0.85), ("scale", 0.8)], "quota of namespace {ns} exceeded"),
    ("ImagePullBackOff", "P2", "the image tag of {app} is not in the registry",
     [("rollback", 0.9), ("recreate_secret", 0.3)], "image of {app} not found: manifest unknown"),
    ("ServiceLatencyHigh", "P2", "p99 of {app} follows its queue of database connections",
     [("scale", 0.5), ("increase_pool_size", 0.8)], "p99 of {app} still above its objective after ten minutes"),
    ("KubeJobFailed", "P3", "the nightly job of {app} hit its deadline", [("rerun_job", 0.8)], "job of {app} exceeded its deadline"),
]
APPS = ["web", "checkout", "payments", "search", "catalog", "sessions", "mailer", "reports"]
NAMESPACES = ["production", "production", "production", "staging", "platform"]
CLUSTERS = ["us-west-2", "eu-central-1", "ap-south-1"]
MODELS = ["claude-sonnet", "gpt-4o", "llama-3-70b"]


def stamp(when: datetime) -> str:
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def story(n: int, start: datetime, chance: random.Random):
    """The audits of one remediation request, as (writer, path, body)."""
    alert, priority, reasoning, actions, error = chance.choices(FAMILIES, weights=[9, 7, 5, 6, 2, 3, 6, 3, 4, 2])[0]
    app, namespace, cluster = chance.choice(APPS), chance.choice(NAMESPACES), chance.choice(CLUSTERS)
    request = f"rr-{start:%Y%m%d}-{n:04}"
    when = start + timedelta(seconds=chance.uniform(0, 7 * 86400 - 900))
    names = {"remediationRequestID": request, "alertName": alert, "namespace": namespace, "cluster": cluster}
    yield "gateway-sa", "remediation", names | {
        "priority": priority, "environment": "staging" if namespace == "staging" else "production",
        "alertFingerprint": f"{alert}/{namespace}/{app}", "createdAt": stamp(when), "signalSource": "prometheus",
    }
    action, odds = actions[0] if chance.random() < 0.7 else chance.choice(actions)
    when += timedelta(seconds=chance.uniform(2, 20))
    yield "aianalysis-controller-sa", "remediation", names | {
        "actionType": action, "confidence": round(chance.uniform(0.55, 0.98), 2), "modelUsed": chance.choice(MODELS),
        "reasoning": reasoning.format(app=app, ns=namespace), "createdAt": stamp(when),
    }
    roll = chance.random()
    status = "executing" if n % 83 == 0 else "completed" if roll < odds else "rolled_back" if roll > 0.97 else "failed"
    when += timedelta(seconds=chance.uniform(1, 5))
    duration = int(chance.lognormvariate(2.3, 0.8) * 1e9)
    failed = status in ("failed", "rolled_back")
    message = error.format(app=app, ns=namespace) if failed else ""
    for step, part in [("validate", 0.1), (action, 0.7), ("verify", 0.2)]:
        if status == "executing" and step == "verify":
            break
        yield "workflowexecution-controller-sa", "workflow", {
            "workflowID": f"wf-{request}", "stepName": step, "remediationRequestID": request,
            "stepStatus": "failed" if failed and step == "verify" else "running" if status == "executing" and step == action else "completed",
            "duration": int(duration * part), "errorMessage": message if step == "verify" else "", "executedAt": stamp(when),
        }
        when += timedelta(microseconds=duration * part / 1000)
    yield "kubernetes-executor-sa", "remediation", {
        "remediationRequestID": request, "actionType": action, "targetResource": f"deployment/{app}", "status": status,
        "duration": 0 if status == "executing" else duration, "errorMessage": message, "executedAt": stamp(when),
    }


def tokens() -> dict[str, str]:
    folder = os.environ.get("EMBEDDED_DIR") or ("/var/lib/data-storage" if os.geteuid() == 0 else "data")
    file = Path(os.environ.get("AUTH_TOKENS_FILE") or Path(folder) / "tokens.csv")
    try:
        lines = [line.split(",") for line in file.read_text().splitlines() if line and not line.startswith("#")]
    except OSError as error:
        sys.exit(f"The tokens cannot be read ({error}): start the service with `make run` first.")
    return {fields[1].rsplit(":", 1)[-1]: fields[0] for fields in lines}


def post(url: str, token: str, body: dict) -> bool:
    """Posts one audit, again while the service is busy. Returns whether it was there already."""
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method="POST")
    for _ in range(TRIES):
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.headers.get("Idempotent-Replayed") == "true"
        except urllib.error.HTTPError as error:
            if error.code not in (429, 503):
                sys.exit(f"{url}: {error.code} {error.read().decode()}")
            time.sleep(float(error.headers.get("Retry-After") or 1))
        except urllib.error.URLError as error:
            sys.exit(f"{url} does not answer ({error.reason}): start the service with `make run` first.")
    sys.exit(f"{url} is still busy after {TRIES} tries.")


def address() -> str:
    host, _, port = (os.environ.get("LISTEN_ADDR") or "127.0.0.1:8080").rpartition(":")
    return f"http://{'127.0.0.1' if host in ('', '0.0.0.0', '[::]') else host}:{port}"


def main() -> None:
    base, known = address(), tokens()
    # Whole days, so that the same week is posted again within a day.
    today = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
    start = today - timedelta(days=7)
    chance = random.Random(7)
    stories = [list(story(n, start, chance)) for n in range(INCIDENTS)]

    def tell(audits) -> int:
        """Posts a story in its order: an incident has the time of the audit that came first."""
        return sum(post(f"{base}/api/v1/audit/{path}", known[writer], body) for writer, path, body in audits)

    with ThreadPoolExecutor(8) as pool:
        replays = sum(pool.map(tell, stories))
    print(f"{sum(map(len, stories))} audits of {INCIDENTS} incidents posted, {replays} of them were there already.")
    print(f"See them: curl -sS '{base}/api/v1/incidents?severity=critical&limit=5'")


if __name__ == "__main__":
    main()
