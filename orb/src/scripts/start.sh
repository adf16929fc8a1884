#!/bin/sh
# Runs the script in NIXDAG_SCRIPT without the keys to the pipeline. A shell that unsets a variable still shows it to others in
# /proc/PID/environ, and so does all that it starts until that is another program: so the shell itself is replaced.
exec env -u CIRCLE_CONTINUATION_KEY -u CIRCLE_TOKEN -u CIRCLECI_CLI_TOKEN -u NIXDAG_SCRIPT sh -c "$NIXDAG_SCRIPT"
