#!/bin/sh
# Installs haul and hauld from this archive: ./install.sh [--prefix DIR]
#
# Nothing is written before every file of the archive has the digest that SHA256SUMS says. The prefix is /usr/local for
# root, and otherwise ~/.local. DESTDIR, if it is set, stands before it.
set -eu

die() {
  echo "install.sh: $*" >&2
  exit 1
}

if [ "$(id -u)" -eq 0 ]; then prefix=/usr/local; else prefix=${HOME:?}/.local; fi
while [ $# -gt 0 ]; do
  case $1 in
    --prefix) [ $# -gt 1 ] || die "--prefix needs a directory"; prefix=$2; shift 2 ;;
    --prefix=*) prefix=${1#--prefix=}; shift ;;
    -h | --help) sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) die "$1: not known; ./install.sh [--prefix DIR]" ;;
  esac
done
case $prefix in /*) ;; *) prefix=$PWD/$prefix ;; esac
to=${DESTDIR:-}$prefix

cd "$(dirname "$0")"
[ -f SHA256SUMS ] || die "SHA256SUMS is not here; run the install.sh of an unpacked archive"
[ "$(uname -s)" = Linux ] || die "these programs are for Linux"
if command -v sha256sum >/dev/null; then
  check() { sha256sum "$1"; }
elif command -v shasum >/dev/null; then
  check() { shasum -a 256 "$1"; }
else
  die "neither sha256sum nor shasum is here to check the files; nothing was installed"
fi

count=0
while read -r digest file; do
  count=$((count + 1))
  case $file in /* | ../* | */../* | */..) die "$file leads out of the archive; nothing was installed" ;; esac
  [ -f "$file" ] && [ ! -L "$file" ] || die "$file is missing; nothing was installed"
  found=$(check "$file")
  [ "${found%% *}" = "$digest" ] || die "$file has another digest than SHA256SUMS says; nothing was installed"
done <SHA256SUMS
[ $count -gt 0 ] || die "SHA256SUMS is empty; nothing was installed"

# Each file gets its name by a rename, so that a program that runs is replaced as a whole.
while read -r digest file; do
  mkdir -p "$to/$(dirname "$file")"
  new=$to/$file.new
  cp "$file" "$new"
  case $file in bin/*) chmod 755 "$new" ;; *) chmod 644 "$new" ;; esac
  mv -f "$new" "$to/$file"
done <SHA256SUMS

# The unit is checked as it is in the archive; what is installed names the hauld beside it.
unit=$to/share/doc/haul/hauld.service
case $prefix in
  *[!A-Za-z0-9/._+-]*) echo "put the path of hauld, $prefix/bin/hauld, into $unit, which says /usr/bin/hauld" ;;
  *)
    sed "s|/usr/bin/hauld|$prefix/bin/hauld|g" "$unit" >"$unit.new"
    chmod 644 "$unit.new"
    mv -f "$unit.new" "$unit"
    ;;
esac

echo "haul and hauld are in $prefix/bin"
case :$PATH: in *":$prefix/bin:"*) ;; *) echo "add it to the PATH: export PATH=$prefix/bin:\$PATH" ;; esac
