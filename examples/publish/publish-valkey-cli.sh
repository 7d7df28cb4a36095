#!/bin/sh
# publish-valkey-cli.sh fcall|xadd NAMESPACE KEY: the same past the instances, with valkey-cli or redis-cli.
# BACKEND_URL is the Valkey of the instances, CLUSTER their instance.cluster.
#
# fcall: logged and announced when it answers, with the event's id. Not on a Valkey Cluster.
# xadd:  taken from the inbox by an instance, within about a millisecond, or when the first instance is back.
set -eu

cli=$(command -v valkey-cli || command -v redis-cli)
cluster=${CLUSTER:-main}
way=$1 namespace=$2 key=$3

valkey() { "$cli" -e -u "${BACKEND_URL:-redis://127.0.0.1:6379/0}" "$@"; }

case $way in
fcall) valkey FCALL coherd_invalidate 1 "coherd:{$cluster}:ctl" ns "$namespace" key "$key" src publish-valkey-cli.sh ;;
xadd) valkey XADD "coherd:{$cluster}:inbox" '*' ns "$namespace" key "$key" src publish-valkey-cli.sh ;;
*) echo "fcall or xadd, not $way" >&2 && exit 2 ;;
esac
