#!/usr/bin/env bash
# Print the access list of a site's broker: which login may publish and read what. mosquitto.acl is its output for site acme, gate north.
#   deploy/make-acl.sh SITE GATE... [--box BOX]... [--keeper BOX]... | sudo install -m 640 -o root -g mosquitto /dev/stdin /etc/mosquitto/ostiary.acl
set -euo pipefail

boxes=() keepers=() names=()
arguments="$*"
while [ $# -gt 0 ]; do
  case "$1" in
    --box | --keeper)
      if [ $# -lt 2 ]; then
        echo "make-acl.sh: $1 needs the name of a box in the roster" >&2
        exit 2
      fi
      if [ "$1" = --box ]; then boxes+=("$2"); else keepers+=("$2"); fi
      shift 2
      ;;
    *)
      names+=("$1")
      shift
      ;;
  esac
done
set -- "${names[@]}"

for name in "$@" "${boxes[@]}" "${keepers[@]}"; do
  if ! [[ "$name" =~ ^[A-Za-z0-9._-]{1,64}$ ]] || [ "$name" = all ] || [ "$name" = roster ]; then
    echo "make-acl.sh: '$name' cannot be the name of a site, gate or box; use letters, digits, '.', '_' and '-', and not 'all' or 'roster'" >&2
    exit 2
  fi
done
if [ $# -lt 2 ]; then
  echo "usage: deploy/make-acl.sh SITE GATE... [--box BOX]... [--keeper BOX]..." >&2
  exit 2
fi
site="$1" gates=("${@:2}")

cat <<TEXT
# Who may publish and read what at site $site. Made by \`deploy/make-acl.sh $arguments\`; make it again for other gates. Install as
# /etc/mosquitto/ostiary.acl, owner root:mosquitto, mode 640 (mosquitto gives up root before it reads this file again).
#
# A login without a section here may do nothing. That is why gates have sections and no pattern with %u: a pattern holds for every login.
TEXT

for gate in "${gates[@]}"; do
  here="ostiary/v1/$site/$gate"
  cat <<TEXT

# The gate $gate says what it sees, and takes commands: its own, and those for all gates.
user gate-$gate
topic write $here/decision
topic write $here/status
topic write $here/result
topic write $here/gap
topic write $here/visitor/+
topic read $here/command/#
topic read ostiary/v1/$site/all/command/#

# The badge reader at $gate says whose badge it read, and hears the decision.
user badge-$gate
topic write $here/command/verify
topic read $here/decision
topic read $here/status

# The lock's controller at $gate publishes nothing.
user door-$gate
topic read $here/decision
topic read $here/status
TEXT
done

# The roster: each box writes its own records; a keeper also writes heads, and records that the broker has lost. gate-BOX is the login of
# mqtt.username = "gate-{gate}". Whose records count is decided by keys, not by this list.
shares="ostiary/v1/$site/roster"
for box in "${boxes[@]}" "${keepers[@]}"; do
  cat <<TEXT

# The box $box shares its people with the others.
user gate-$box
topic read $shares/#
topic write $shares/+/+/$box
TEXT
  for keeper in "${keepers[@]}"; do
    if [ "$keeper" = "$box" ]; then
      echo "topic write $shares/+/+/+"
      echo "topic write $shares/head/$box"
    fi
  done
done

cat <<TEXT

# A display shows what the gates decide.
user display
topic read ostiary/v1/$site/+/decision
topic read ostiary/v1/$site/+/gap
topic read ostiary/v1/$site/+/status

# The desk that enrols and revokes.
user hr
topic read ostiary/v1/$site/+/result
topic read ostiary/v1/$site/+/status
TEXT
for gate in "${gates[@]}" all; do
  echo "topic write ostiary/v1/$site/$gate/command/enrolment"
  echo "topic write ostiary/v1/$site/$gate/command/revoke"
done

cat <<TEXT

# The console at the desk: what a display and the desk may do, and the sealed pictures of unknown visitors (decision.share_unknown), which it
# also clears. Nobody else but the administrator gets them.
user console
topic read ostiary/v1/$site/+/decision
topic read ostiary/v1/$site/+/gap
topic read ostiary/v1/$site/+/status
topic read ostiary/v1/$site/+/result
topic read ostiary/v1/$site/+/visitor/+
TEXT
for gate in "${gates[@]}" all; do
  echo "topic write ostiary/v1/$site/$gate/command/enrolment"
  echo "topic write ostiary/v1/$site/$gate/command/revoke"
done
for gate in "${gates[@]}"; do
  echo "topic write ostiary/v1/$site/$gate/visitor/+"
done

cat <<TEXT

# The administrator commands everything, reads everything, and sees how the broker does.
user admin
topic read ostiary/v1/$site/#
topic read \$SYS/#
TEXT
for gate in "${gates[@]}" all; do
  echo "topic write ostiary/v1/$site/$gate/command/#"
done
for gate in "${gates[@]}"; do
  echo "topic write ostiary/v1/$site/$gate/visitor/+"
done
if [ ${#boxes[@]} -gt 0 ] || [ ${#keepers[@]} -gt 0 ]; then
  echo "topic write $shares/key/+"
fi
