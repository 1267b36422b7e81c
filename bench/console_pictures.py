"""Pictures of the console's pages: every page in light, dark and on a phone, with real gates, cameras and decisions.

    python -m bench.console_pictures OUT

It plays a short story with the demo's two rendered people (both portraits are in the public domain) in Debian's chromium, and looks at each
page on the way.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from daemon.demo.brokers import broker
from daemon.demo.console import Made, playing
from daemon.demo.frames import enrolment_photo
from tests.fixtures.chromium import Page, chromium, missing
from tests.fixtures.served import served

LOOKS = {
    "light": {"width": 1280, "height": 900},
    "dark": {"width": 1280, "height": 900, "dark": True},
    "phone": {"width": 390, "height": 844, "phone": True},
}
STILL_S = 0.5
"""Until what moves on a page has come to rest."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.console_pictures", description="Pictures of every page of the console.")
    parser.add_argument("out", type=Path, metavar="OUT", help="the folder for the pictures")
    args = parser.parse_args(argv)
    out = Console(highlight=False)
    if (reason := missing()) is not None:
        out.print(reason)
        return 1
    args.out.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as name,
        broker("auto", Path(name)) as running,
        playing(running, Path(name), args.out / "daemon.log", people=False) as made,
        served(made.served),
        chromium(Path(name) / "browser", made.served.address) as page,
    ):
        _play(page, made, Path(name), Album(page, args.out))
        wrong = page.wrongs()
    out.print(f"{len(list(args.out.glob('*.png')))} pictures are in {args.out}.")
    for line in wrong:
        out.print(f"[red]the browser says:[/] {line}")
    return 1 if wrong else 0


class Album:
    """Takes pictures of a page in every look."""

    def __init__(self, page: Page, folder: Path) -> None:
        self._page, self._folder = page, folder

    def take(self, name: str, looks: Sequence[str] = tuple(LOOKS)) -> None:
        """One picture of what the page shows, in each look."""
        for look in looks:
            self._page.look(**LOOKS[look])  # type: ignore[arg-type]
            time.sleep(STILL_S)
            self._page.driver.save_screenshot(str(self._folder / f"{name}-{look}.png"))
        self._page.look()


def _play(page: Page, made: Made, folder: Path, album: Album) -> None:
    north, south = made.stages["north"], made.stages["south"]
    photos = {}
    for name in ("collins", "hopper"):
        photos[name] = folder / f"{name}.jpg"
        photos[name].write_bytes(enrolment_photo(name))
    page.open("/")
    page.find("#login")
    album.take("login")
    page.login("viewer", made.passwords["viewer"], "/people")
    page.reads("You may not see this page")
    album.take("forbidden")

    page.login("admin", made.passwords["admin"])
    page.until(lambda: page.text("#gates").count("Camera works") == 2, "both cameras work")
    north.enter("collins", 1)
    page.reads("Somebody unknown", "#feed")
    page.open("/visitors").find("#visitors img")
    album.take("visitors")
    north.leave()
    for person, name, photo in (("E1042", "Eileen Collins", "collins"), ("E1001", "Grace Hopper", "hopper")):
        page.open("/enrol").choose([photos[photo]])
        page.write("[name=person]", person)
        page.write("[name=name]", name)
        page.write("[name=consent]", "signed form, HR folder 12")
        page.reads("It would enrol this face.", "#answer")
        if photo == "collins":
            album.take("enrol")
        page.press("Enrol", ".answer")
        page.reads(f"{person} is enrolled at north and south", "#done-title")
    album.take("enrolled")

    page.open("/enrol").choose([photos["collins"]])
    page.write("[name=person]", "E1043")
    page.write("[name=name]", "Amelia Collins")
    page.reads("Eileen Collins", "#alike")
    page.script("document.querySelector('.answer').scrollIntoView()")
    album.take("alike")

    page.open("/")
    north.enter("collins", 2)
    page.reads("Eileen Collins", "#feed")
    north.leave()
    south.enter("hopper", 3)
    page.reads("Grace Hopper", "#feed")
    south.leave()
    page.open("/people").press("Grace Hopper")
    page.press("Suspend", "dialog")
    page.reads("Suspended: rejected from now on.", "dialog")
    album.take("person")
    page.press("Revoke…", "dialog")
    page.find("[name=number]")
    album.take("revoke")
    page.open("/")
    south.enter("hopper", 4)
    page.reads("suspended", "#feed")
    album.take("live")
    south.leave()
    page.open("/people").reads("Grace Hopper", "#people")
    album.take("people")
    page.open("/enrol?gate=north").reads("Add a number", "#answer")
    album.take("capture")
    page.open("/health").reads("Audit head", "#gates")
    album.take("health")


if __name__ == "__main__":
    sys.exit(main())
