#!/bin/sh
# publish.sh NAMESPACE KEY: tells coherd that a key is no longer true, and prints the event's id.
# COHERD_URL is any instance, COHERD_TOKEN a token with the right `invalidate`, if there are tokens.
set -eu

# A key may hold anything but control characters here; what JSON needs escaped is escaped.
json() { printf '"%s"' "$(printf '%s' "$1" | sed 's/[\\"]/\\&/g')"; }

# The request_id makes it safe to say it again: it is logged once.
request_id="$(hostname)-$$-$(date +%s%N)"
event="{\"namespace\": $(json "$1"), \"keys\": [$(json "$2")], \"source\": \"publish.sh\", \"request_id\": \"$request_id\"}"

answer=$(printf '%s' "$event" | curl --silent --show-error --fail-with-body \
    --retry 5 --retry-connrefused --max-time 30 \
    --header 'Content-Type: application/json' \
    ${COHERD_TOKEN:+--header "Authorization: Bearer $COHERD_TOKEN"} \
    --data-binary @- "${COHERD_URL:-http://127.0.0.1:8080}/v1/invalidate") || {
    printf '%s\n' "$answer" >&2
    exit 1
}
printf '%s\n' "$answer" | sed 's/.*"id":"\([^"]*\)".*/\1/'
