#!/bin/sh
# A session with the Data Storage Service by curl alone.
#
#   DATA_STORAGE_URL=http://127.0.0.1:8080 DATA_STORAGE_TOKEN=... sh session.sh
#
# Posts what a remediation did, reads the incident back, looks for others like it, and asks what has worked.
set -eu

url=${DATA_STORAGE_URL:-http://127.0.0.1:8080}
token=${DATA_STORAGE_TOKEN:?is not set}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# call PATH [OPTION...]: leaves the answer in $folder/body, its head in $folder/head. 429, 503 and broken connections are tried
# again. A write that was committed before its answer was lost is not written twice: the same content is the same audit.
call() {
    path=$1
    shift
    # The token is read from standard input: on the command line every user of the machine would see it.
    status=$(curl -sS --max-time 10 --retry 4 --retry-all-errors -o "$folder/body" -D "$folder/head" -w '%{http_code}' \
        -H @- -H 'Content-Type: application/json' "$@" "$url$path" <<HEADERS
Authorization: Bearer $token
HEADERS
    )
    case $status in
    2??) ;;
    *)
        echo "$path: $status $(cat "$folder/body")" >&2
        exit 1
        ;;
    esac
}

# The string or number of a field, where its first one is meant.
field() {
    sed -n "s/.*\"$1\":\"\{0,1\}\([^\",}]*\).*/\1/p" "$folder/body"
}

# The time is part of the content: made once, before the first try, so that each try posts the same audit.
now=$(date -u +%Y-%m-%dT%H:%M:%SZ)
request=rr-curl-$(date +%s)-$$
cat >"$folder/audit.json" <<AUDIT
{
  "remediationRequestID": "$request",
  "alertName": "HighMemoryUsage",
  "namespace": "production",
  "cluster": "us-west-2",
  "severity": "high",
  "actionType": "scale",
  "targetResource": "deployment/web",
  "status": "completed",
  "durationMs": 4200,
  "reasoning": "Memory grows with the request rate; more replicas spread the load.",
  "createdAt": "$now"
}
AUDIT
call /api/v1/audit/remediation --data-binary "@$folder/audit.json"
state='is persisted'
if grep -qi '^idempotent-replayed: true' "$folder/head"; then state='was there already'; fi
echo "audit $(field auditID) $state"

# A walk by cursor meets each incident once, however many are posted meanwhile.
count=0
cursor=
while :; do
    call /api/v1/incidents -G -d alert_name=HighMemoryUsage -d namespace=production -d limit=100 -d total=false \
        ${cursor:+--data-urlencode "cursor=$cursor"}
    count=$((count + $(grep -o '"remediation_request_id":' "$folder/body" | wc -l)))
    cursor=$(sed -n 's/.*"next_cursor":"\([^"]*\)".*/\1/p' "$folder/body")
    [ -n "$cursor" ] || break
done
echo "$count incidents of HighMemoryUsage in production"

call /api/v1/incidents -G -d "remediation_request_id=$request"
incident=$(field id)
call "/api/v1/incidents/$incident"
echo "incident $incident: $(cat "$folder/body")"

call /api/v1/incidents/search -d '{"query":"pods run out of memory","filters":{"cluster":"us-west-2"},"limit":5}'
echo "similar: $(cat "$folder/body")"

call /api/v1/stats/success-rate -G -d group_by=alert_name,action_type
echo "success rates: $(cat "$folder/body")"
