#!/usr/bin/env bash
# Debian's packages that the tests with the mark "services" need: says which are missing; with --install, as root,
# installs them. What stays missing makes its tests skip.
set -euo pipefail

missing=()
compgen -G "/usr/lib/postgresql/*/bin/initdb" > /dev/null || command -v initdb > /dev/null || missing+=(postgresql)
command -v redis-server > /dev/null || missing+=(redis-server)
command -v chromium > /dev/null || command -v chromium-browser > /dev/null || command -v google-chrome > /dev/null ||
    missing+=(chromium)
command -v nginx > /dev/null || [ -x /usr/sbin/nginx ] || missing+=(nginx-light)
command -v npm > /dev/null || missing+=(npm)
[ -x /usr/sbin/slurmctld ] || missing+=(slurm-wlm munge)
[ -x /usr/sbin/slurmdbd ] || missing+=(slurmdbd slurm-wlm-mysql-plugin)
command -v mariadbd > /dev/null || [ -x /usr/sbin/mariadbd ] || missing+=(mariadb-server)
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "${1:-}" = --install ] && [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    if apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null; then
        exit 0
    fi
fi
echo "Tests will be skipped that need: ${missing[*]} (apt-get install --no-install-recommends ${missing[*]})"
