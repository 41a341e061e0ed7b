#!/usr/bin/env bash
# server.sh PROJECT MODEL [KIND] - start a server for the checkpoint folder MODEL on this machine, and predict PROJECT through it.
#
# KIND is vllm (default; 'pip install vllm') or transformers ('pip install "transformers[serving]"'). vLLM tells confidences and
# keeps answers to their format; transformers does neither. The server's alias stands in a settings file of its own, so that yours
# stays as it is.
set -euo pipefail
project=${1:?PROJECT} model=$(realpath "${2:?MODEL}") kind=${3:-vllm} port=${PORT:-8600}
work=$(mktemp -d)
case $kind in
  vllm) vllm serve "$model" --served-model-name eye --host 127.0.0.1 --port "$port" >"$work/log" 2>&1 & name=eye ;;
  transformers) transformers serve --host 127.0.0.1 --port "$port" >"$work/log" 2>&1 & name=$model ;;
  *) echo "server.sh: expected vllm or transformers, got $kind" >&2; exit 2 ;;
esac
server=$!
trap 'kill "$server" 2>/dev/null; rm -rf "$work"' EXIT
mkdir -p "$work/mekiki"
printf '[servers.here]\nurl = "http://127.0.0.1:%s/v1"\nmodel = "%s"\nconcurrency = 16\n' "$port" "$name" >"$work/mekiki/settings.toml"
until curl --silent --fail --output /dev/null "http://127.0.0.1:$port/health"; do
  kill -0 "$server" 2>/dev/null || { tail -n 20 "$work/log" >&2; exit 1; }
  sleep 1
done
XDG_CONFIG_HOME=$work mekiki -C "$project" predict --server here
