#!/usr/bin/env python3
"""Use the console's JSON API: enrol by upload, list and revoke people, and follow the decisions. Needs nothing but Python.

Exit status: 0 done, 1 refused by a gate or the console, 2 bad input, 3 no console.
"""

import argparse
import json
import sys
import uuid
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen


def call(
    url: str, method: str, path: str, token: str | None = None, body: bytes | None = None, kind: str = "application/json"
) -> IO[bytes]:
    """One request. Raises HTTPError with what the console says about it, and URLError if there is no console."""
    headers = {"Content-Type": kind} | ({"Authorization": f"Bearer {token}"} if token else {})
    opened: IO[bytes] = urlopen(Request(f"{url}/api{path}", body, headers, method=method), timeout=60)
    return opened


def upload(fields: dict[str, str], photo: Path) -> tuple[bytes, str]:
    """A multipart body with these fields and one picture of any usual format, and its content type."""
    mark = uuid.uuid4().hex
    parts = [f'--{mark}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode() for name, value in fields.items()]
    parts.append(f'--{mark}\r\nContent-Disposition: form-data; name="pictures"; filename="photo"\r\n\r\n'.encode() + photo.read_bytes())
    return b"".join((*parts, f"\r\n--{mark}--\r\n".encode())), f"multipart/form-data; boundary={mark}"


def people(url: str, token: str) -> None:
    after: str | None = ""
    while after is not None:  # a page at a time
        page = json.load(call(url, "GET", "/people?" + urlencode({"after": after} if after else {}), token))
        for row in page["people"]:
            print(row["person"], row["name"] or "", row["state"], ",".join(row["at"]), sep="\t")
        after = page["next_after"]


def follow(url: str, token: str) -> None:
    """Server-sent events: `event:` and `data:` lines, an empty line after each. The stream ends with the session."""
    event = ""
    for raw in call(url, "GET", "/events", token):
        field, _, value = raw.decode().rstrip("\n").partition(": ")
        event = value if field == "event" else event
        if field == "data" and event == "decision":
            said: dict[str, Any] = json.loads(value)
            print(said["decided_at"], said["gate"], said["decision"], said["person"], said["reason"], flush=True)


def report(answers: list[dict[str, Any]]) -> int:
    """What each gate said about a change."""
    for answer in answers:
        other = [f"as {answer['other']['person']}"] if answer.get("other") else []
        print(answer["gate"], answer["status"], *(answer[key] for key in ("words", "next") if answer.get(key)), *other, sep=": ")
    return 0 if answers and all(answer["status"] == "done" for answer in answers) else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", help="for instance https://console.example.net:8480")
    parser.add_argument("user")
    parser.add_argument("password_file", type=Path)
    parser.add_argument("what", choices=("people", "enrol", "revoke", "follow"))
    parser.add_argument("person", nargs="?", default="", help="for enrol and revoke")
    parser.add_argument("photo", nargs="?", type=Path, help="for enrol")
    args = parser.parse_args()
    if not args.url.startswith(("http://", "https://")):
        raise ValueError(f"{args.url} is no address of a console")
    login = {"user": args.user, "password": args.password_file.read_text("utf-8").split("\n")[0]}
    token = json.load(call(args.url, "POST", "/session", body=json.dumps(login).encode()))["token"]
    try:
        if args.what == "people":
            people(args.url, token)
        elif args.what == "follow":
            follow(args.url, token)
        elif args.what == "enrol":
            body, kind = upload({"at": "all"}, args.photo)
            return report(json.load(call(args.url, "POST", f"/people/{quote(args.person)}/pictures", token, body, kind))["answers"])
        else:
            return report(json.load(call(args.url, "DELETE", f"/people/{quote(args.person)}", token))["answers"])
    finally:
        call(args.url, "DELETE", "/session", token)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except HTTPError as error:
        print(f"the console refused it: {error.code} {error.read().decode(errors='replace')}", file=sys.stderr)
        sys.exit(1)
    except (URLError, ConnectionError, TimeoutError) as error:
        print(f"no console there: {error}", file=sys.stderr)
        sys.exit(3)
    except (OSError, ValueError) as error:
        print(f"console_api.py: bad input: {error}", file=sys.stderr)
        sys.exit(2)
