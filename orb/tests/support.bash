# What the tests of the orb's scripts share: a private home, a PATH with chosen programs only, and a server on this machine.
# shellcheck shell=bash

scripts=$BATS_TEST_DIRNAME/../src/scripts

# Programs that every image has.
basics="basename cat chmod cp cut date dirname env expr false grep head id ln ls mkdir mktemp mv printenv rm rmdir sha256sum sleep sort tail tar touch tr true uname wc"

prepare() {
    export HOME=$BATS_TEST_TMPDIR/home
    bin=$BATS_TEST_TMPDIR/bin
    mkdir -p "$HOME" "$bin"
    for program in $basics; do have "$program"; done
    # shellcheck disable=SC2206 # a shell and its flags
    shell=(${ORB_TEST_SHELL:-dash})
    shell[0]=$(command -v "${shell[0]}")
    ln -sf "${shell[0]}" "$bin/sh"
    unset BASH_ENV XDG_CONFIG_HOME NIXDAG_NIX_MODE
}

# Puts a program of this machine on the PATH of the script.
have() { ln -sf "$(type -P "$1")" "$bin/$1"; }

# Puts a program with this text there.
fake() {
    rm -f "$bin/$1"
    printf '#!/bin/sh\n%s\n' "$2" >"$bin/$1"
    chmod +x "$bin/$1"
}

# Puts a nixdag with this text where the command install does.
nixdag() {
    mkdir -p "$HOME/.nixdag/program"
    printf '#!/bin/sh\n%s\n' "$1" >"$HOME/.nixdag/program/nixdag"
    chmod +x "$HOME/.nixdag/program/nixdag"
}

# Runs a script as a step does.
run_script() { PATH=$bin run "${shell[@]}" -e -c "$(cat "$scripts/$1.sh")"; }

# The same for scripts that steps start without keys.
run_without_keys() { NIXDAG_SCRIPT=$(cat "$scripts/$1.sh") run_script start; }

sha256_of() { sha256sum "$1" | cut -d ' ' -f 1; }

# Serves a folder on this machine; sets `url`. With $2, each request is first answered with that status.
serve() {
    local port=$BATS_TEST_TMPDIR/port
    /usr/bin/python3 - "$1" "${2:-}" "$port" 3>&- <<'PYTHON' &
import functools, http.server, os, sys
folder, first, port = sys.argv[1:]
class Handler(http.server.SimpleHTTPRequestHandler):
    seen = set()
    def do_GET(self):
        if first and self.path not in self.seen:
            self.seen.add(self.path)
            return self.send_error(int(first))
        super().do_GET()
    def log_message(self, *arguments): pass
server = http.server.HTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder))
with open(port + ".new", "w") as file: file.write(str(server.server_port))
os.rename(port + ".new", port)
server.serve_forever()
PYTHON
    server=$!
    while [ ! -e "$port" ]; do sleep 0.05; done
    url=http://127.0.0.1:$(cat "$port")
}

clean() { [ -z "${server:-}" ] || kill "$server" 2>/dev/null || :; }

says() {
    [[ $output == *"$1"* ]] || {
        echo "expected: $1"
        echo "said ($status): $output"
        return 1
    }
}

ends_with() {
    [ "$status" = "$1" ] || {
        echo "ended with $status: $output"
        return 1
    }
}
