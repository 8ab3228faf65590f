#!/usr/bin/env bash
# Installs the Debian packages that the tests need where it may (as root), and otherwise names them.
set -euo pipefail
cd "$(dirname "$0")"
export PATH="$PATH:/usr/sbin:/sbin"
missing=()
while read -r package known; do
  case "$package" in ''|'#'*) continue ;; esac
  case "$known" in
    -) dpkg -s "$package" >/dev/null 2>&1 && continue ;;
    /*) [ -e "$known" ] && continue ;;
    *) command -v "$known" >/dev/null 2>&1 && continue ;;
  esac
  missing+=("$package")
done < debian-packages.txt
java=$(for one in /usr/lib/jvm/*/bin/java; do [ -x "$one" ] && "$one" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p'; done | sort -n | tail -n 1)
if [ "${java:-0}" -lt 21 ]; then
  newer=$(apt-cache search --names-only '^openjdk-(21|25)-jdk-headless$' 2>/dev/null | awk 'NR == 1 {print $1}')
  if [ -n "$newer" ]; then missing+=("$newer"); elif [ "${java:-0}" -lt 17 ]; then missing+=(openjdk-17-jdk-headless); fi
fi
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" -ne 0 ]; then
  echo "Tests that need these Debian packages cannot run; as root: apt-get install ${missing[*]}" >&2
  exit 0
fi
echo "Installing Debian packages for the tests: ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq >/dev/null
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
