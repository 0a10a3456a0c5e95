"""Fills a service with audits as analyses write them (many near-copies of few failures), and measures what a search costs and finds."""

import json
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FAMILIES = ROOT / "tests/data/recall.tsv"
SENTENCES = ROOT / "benches/words/sentences.txt"
APPLICATIONS = "200"
FILTERS = {
    "no filter": {},
    "a namespace (2 %)": {"namespace": "ns-7"},
    "a status (25 %)": {"status": "failed"},
    "a cluster and an action (6 %)": {"cluster": "cluster-1", "action_type": "scale"},
    "since a day (1 %)": {"since": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 86_400))},
}
# pgvector's exact search of the same work: the nearest patterns of one.
BARE = """SET enable_indexscan = off;
SELECT pattern, 1 - (embedding <=> (SELECT embedding FROM embedding_patterns LIMIT 1)) AS similarity
FROM embedding_patterns ORDER BY similarity DESC LIMIT 10;"""
# The similarity of the tenth nearest other incident that fits, found by a comparison with the vector of every audit.
TENTH = """SET enable_indexscan = off; SET enable_bitmapscan = off; SET max_parallel_workers_per_gather = 0;
WITH asked AS MATERIALIZED (
    SELECT e.embedding FROM audit_embeddings AS e JOIN incident_patterns AS p USING (pattern) WHERE p.incident_id = {id} LIMIT 1
), near AS MATERIALIZED (
    SELECT e.pattern, max(1 - (e.embedding <=> asked.embedding)) AS similarity FROM asked, audit_embeddings AS e GROUP BY e.pattern
)
SELECT min(t.similarity) FROM (
    SELECT max(n.similarity) AS similarity
    FROM near AS n JOIN incident_patterns AS p USING (pattern) JOIN incident_facts AS f USING (bucket, incident_id)
    WHERE p.incident_id <> {id} AND {where}
    GROUP BY p.incident_id ORDER BY similarity DESC LIMIT 10) AS t"""
COLUMNS = {"namespace": "namespace", "status": "execution_status", "cluster": "cluster_name", "action_type": "action_type"}


class Texts:
    """A service that is filled with texts."""

    def __init__(self, service, seconds: int):
        self.service, self.seconds = service, seconds
        while not self.service.psql("SELECT to_regclass('idx_embedding_patterns_hnsw')"):
            time.sleep(0.2)

    def count(self, table: str) -> int:
        return int(self.service.psql(f"SELECT count(*) FROM {table}"))

    def grow_to(self, audits: int):
        while (missing := audits - self.count("audit_embeddings")) > 0:
            seconds = max(1, min(30, missing // 6_000))
            self.service.wrk("post_texts.lua", "/", 64, seconds, self.service.token, str(time.time()), str(FAMILIES), APPLICATIONS)
            while self.count("embedding_outbox"):
                time.sleep(0.2)
        self.service.psql("VACUUM ANALYZE")

    def grow_patterns_to(self, patterns: int):
        """With texts of which none is like another. Without the index, which takes an hour to grow and is not asked: patterns are held."""
        self.service.psql("DROP INDEX IF EXISTS idx_embedding_patterns_hnsw")
        while (missing := patterns - self.count("embedding_patterns")) > 0:
            seconds = max(1, min(30, missing // 6_000))
            self.service.wrk("post_patterns.lua", "/", 64, seconds, self.service.token, str(time.time()), str(SENTENCES))
            while self.count("embedding_outbox"):
                time.sleep(0.2)
        self.service.psql("VACUUM ANALYZE")

    def kind(self) -> str:
        return f"{self.count('audit_embeddings'):,} audits, {self.count('embedding_patterns'):,} patterns"

    def ask(self, connections: int, filters: dict | None = None) -> dict:
        return self.service.wrk("post_search.lua", "/", connections, self.seconds, str(FAMILIES), json.dumps(filters or {}))

    def bare(self):
        return self.service.pgbench(BARE, 8, self.seconds)

    def recall(self) -> str:
        """What part of the true ten nearest is among a hundred hits. Hits are in the order of their scores, and near-copies are
        equally near. So a hit counts if it is as similar as the tenth nearest."""
        found, asked, none = 0, 0, 0
        for name, filters in FILTERS.items():
            if "since" in filters:
                continue
            where = " AND ".join(f"f.{COLUMNS[key]} = '{value}'" for key, value in filters.items()) or "true"
            for id in self.service.psql("SELECT incident_id FROM incident_facts ORDER BY md5(incident_id::text) LIMIT 3").split():
                tenth = float(self.service.psql(TENTH.format(id=id, where=where)).split()[-1])  # behind the words of SET
                body = json.dumps({"incident_id": int(id), "limit": 100, "filters": filters}).encode()
                request = urllib.request.Request(f"{self.service.base}/api/v1/incidents/search", body, {"Content-Type": "application/json"})
                hits = json.load(urllib.request.urlopen(request))["data"]
                found += min(10, sum(hit["similarity"] >= tenth - 1e-5 for hit in hits))
                asked += 10
                none += not hits
        return f"{found / asked:.3f} of the true ten nearest, {none} of {asked // 10} queries with none found"
