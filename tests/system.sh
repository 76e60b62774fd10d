#!/usr/bin/env bash
# What tests and benchmarks need beside Python: Java 17+ with its compiler (for Kafka Streams, a peer of the benchmark) and
# Maven (Kafka's own jars), Prometheus with promtool.
# Installs what is missing where that is allowed (root, apt-get), else says in one line what to type.
set -euo pipefail

java_major() { java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -1; }

missing=()
[ "$(java_major 2>/dev/null || true)" ] && [ "$(java_major)" -ge 17 ] && java --list-modules | grep jdk.compiler@ >/dev/null ||
  missing+=(java)
command -v mvn >/dev/null || missing+=(maven)
command -v prometheus >/dev/null && command -v promtool >/dev/null || missing+=(prometheus)
[ ${#missing[@]} -eq 0 ] && exit 0

if ! command -v apt-get >/dev/null; then
  echo "missing: ${missing[*]}. Install a JDK of Java 17 or later, Maven and Prometheus (with promtool), and put them on PATH."
  exit 1
fi
# The packages to install. Where 17 is gone the distribution's default is newer (Debian 13: 21).
packages() {
  local java=openjdk-17-jdk-headless
  apt-cache show "$java" >/dev/null 2>&1 || java=default-jdk-headless
  echo "${missing[@]/java/$java}"
}

# Where systemd runs, the package would start Prometheus as a service on every address: a person decides on that.
if [ "$(id -u)" != 0 ] || [ -d /run/systemd/system ]; then
  echo "missing: ${missing[*]}. Type  sudo apt-get install $(packages)  and run this again."
  exit 1
fi
echo "installing ${missing[*]} with apt-get"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
read -ra wanted <<<"$(packages)"
apt-get install -y -qq --no-install-recommends "${wanted[@]}" >/dev/null
