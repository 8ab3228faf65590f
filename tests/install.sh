#!/usr/bin/env bash
# Installs the Debian packages that the tests need where it may (as root), and otherwise names them.
#   tests/install.sh          what `make test` needs
#   tests/install.sh peers    and what `make bench ARGS='relay --peers'` compares with: Rspamd, Haraka
set -euo pipefail
cd "$(dirname "$0")"
export PATH="$PATH:/usr/sbin:/sbin"
group=${1:-}
missing=()
while read -r package known; do
  case "$package" in ''|'#'*) continue ;; esac
  case "$known" in
    -) dpkg -s "$package" >/dev/null 2>&1 && continue ;;
    /*) [ -e "$known" ] && continue ;;
    *) command -v "$known" >/dev/null 2>&1 && continue ;;
  esac
  missing+=("$package")
done < <(cat debian-packages.txt; [ "$group" != peers ] || printf '%s\n' 'rspamd rspamd' 'redis-server redis-server' 'nodejs node' 'npm npm')
java=$(for one in /usr/lib/jvm/*/bin/java; do [ -x "$one" ] && "$one" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p'; done | sort -n | tail -n 1)
if [ "${java:-0}" -lt 21 ]; then
  newer=$(apt-cache search --names-only '^openjdk-(21|25)-jdk-headless$' 2>/dev/null | awk 'NR == 1 {print $1}')
  if [ -n "$newer" ]; then missing+=("$newer"); elif [ "${java:-0}" -lt 17 ]; then missing+=(openjdk-17-jdk-headless); fi
fi
# Exim and Postfix exclude each other as packages: Exim is unpacked into a folder of the tests' own.
exim=../.packages/exim4
no_exim() { ! [ -x "$exim/usr/sbin/exim4" ] || ! id -u Debian-exim >/dev/null 2>&1; }
if [ "$(id -u)" -ne 0 ]; then
  [ ${#missing[@]} -eq 0 ] || echo "Tests that need these Debian packages cannot run; as root: apt-get install ${missing[*]}" >&2
  exit 0
fi
export DEBIAN_FRONTEND=noninteractive
if [ ${#missing[@]} -gt 0 ] || no_exim; then apt-get update -qq >/dev/null; fi
if [ ${#missing[@]} -gt 0 ]; then
  echo "Installing Debian packages for the tests: ${missing[*]}" >&2
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
if no_exim; then
  echo "Unpacking Exim for the tests" >&2
  mapfile -t libraries < <(apt-cache depends exim4-daemon-light | sed -n 's/^ *Depends: \(lib[^ ]*\)$/\1/p')
  apt-get install -y -qq --no-install-recommends "${libraries[@]}" >/dev/null
  fetched=$(mktemp -d)
  (cd "$fetched" && apt-get download -qq exim4-daemon-light 2>/dev/null && dpkg -x exim4-daemon-light_*.deb unpacked)
  mkdir -p "$exim/usr/sbin"
  cp "$fetched/unpacked/usr/sbin/exim4" "$exim/usr/sbin/exim4"
  rm -rf "$fetched"
  id -u Debian-exim >/dev/null 2>&1 || useradd --system --no-create-home --shell /usr/sbin/nologin Debian-exim
fi
if [ "$group" = peers ] && ! command -v haraka >/dev/null 2>&1; then
  npm install --global --no-audit --no-fund --loglevel=error Haraka haraka-plugin-dkim >/dev/null
fi
