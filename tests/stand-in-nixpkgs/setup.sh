# shellcheck shell=sh disable=SC2154
# The stand-in's builder: unpack, build, install, with the host's tools.
set -eu
PATH=/usr/local/bin:/usr/bin:/bin
export PATH CC="${CC:-cc}" AR="${AR:-ar}"
CPATH='' LIBRARY_PATH=''
for input in $inputs; do
    CPATH="$CPATH${CPATH:+:}$input/include"
    LIBRARY_PATH="$LIBRARY_PATH${LIBRARY_PATH:+:}$input/lib"
done
export CPATH LIBRARY_PATH
runHook() { :; }
mkdir build && cd build
if [ -n "$src" ]; then
    cp -R "$src/." .
    chmod -R u+w .
fi
eval "$buildPhase"
eval "$installPhase"
