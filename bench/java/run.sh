#!/usr/bin/env bash
# The `windowed` workload on Kafka Streams 4.3.1: run.sh BROKER. Needs Java 17, Maven, and the inputs that `npm run bench` writes.
set -euo pipefail
cd "$(dirname "$0")"
broker=${1:?host:port of a broker}
build=../build/java
mkdir -p "$build"
[ -d "$build/lib" ] || mvn -q -B dependency:copy-dependencies -DoutputDirectory="$build/lib"
javac -cp "$build/lib/*" -d "$build/classes" WindowedCount.java
for guarantee in at_least_once exactly_once_v2; do
  java -Dorg.slf4j.simpleLogger.defaultLogLevel=error -Xmx1500m -cp "$build/classes:$build/lib/*" \
    WindowedCount "$broker" "$guarantee" "$build/state"
done
