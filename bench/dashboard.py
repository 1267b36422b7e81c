"""The Grafana dashboard as one picture, drawn without Grafana from a Prometheus that scrapes a gate.

    python -m bench.dashboard [--prometheus http://127.0.0.1:9090] [--minutes 10] [--rate 15s] [--out dashboard.png]

It asks each panel's queries of deploy/grafana-dashboard.json as they stand, for all boxes and gates, and puts the answers where the panels
are. Alerts that fire or are pending at the end are listed on the screen.
"""

import argparse
import json
import time
import urllib.parse
import urllib.request
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.dates as dates
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import Console

mpl.use("Agg")

DASHBOARD = Path(__file__).parents[1] / "deploy/grafana-dashboard.json"
COLUMNS, ROW_INCHES, WIDTH_INCHES, POINTS = 24, 0.42, 24, 240
WIDE = 34
"""Letters of a name in a legend."""
FEW = 12
"""Series that a legend names."""


@dataclass(frozen=True, slots=True)
class Series:
    """One answer: its name, seconds (UTC), values."""

    name: str
    at_s: list[float]
    values: list[float]


def asked(url: str, path: str, **parameters: object) -> Any:
    """What Prometheus' API answers. Raises SystemExit with its complaint."""
    try:
        with urllib.request.urlopen(f"{url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}", timeout=20) as response:
            return json.load(response)["data"]
    except OSError as error:
        detail = error.read().decode() if hasattr(error, "read") else str(error)
        raise SystemExit(f"{url}: {detail}\n  hint: is it a Prometheus, and does it scrape the gate (deploy/README.md, step 6)?") from None


def filled(text: str, rate: str) -> str:
    """A query with the dashboard's variables as Grafana fills them in for all boxes and gates."""
    return text.replace("$__rate_interval", rate).replace("$gate", ".*").replace("$instance", ".*")


def series(url: str, target: dict[str, Any], began_s: float, ended_s: float, rate: str) -> list[Series]:
    """The answers to one query of a panel."""
    step = max(1.0, (ended_s - began_s) / POINTS)
    data = asked(url, "query_range", query=filled(target["expr"], rate), start=began_s, end=ended_s, step=step)
    found = []
    for one in data["result"]:
        name = target.get("legendFormat") or "{{" + "}} {{".join(k for k in one["metric"] if not k.startswith("__")) + "}}"
        for label, value in one["metric"].items():
            name = name.replace("{{" + label + "}}", value)
        found.append(Series(name, [float(at) for at, _ in one["values"]], [float(value) for _, value in one["values"]]))
    return found


def mappings(panel: dict[str, Any]) -> dict[float, tuple[str, str]]:
    """The words and colours that a panel has for values."""
    found: dict[float, tuple[str, str]] = {}
    for one in panel.get("fieldConfig", {}).get("defaults", {}).get("mappings", []):
        for value, shown in one.get("options", {}).items():
            found[float(value)] = shown.get("text", value), shown.get("color", "gray")
    return found


def bands(axes: Axes, found: list[Series], words: dict[float, tuple[str, str]], step_s: float) -> None:
    """A state timeline: a row for each series."""
    for row, one in enumerate(found):
        for at, value in zip(one.at_s, one.values, strict=True):
            colour = words.get(value, ("", "tab:orange"))[1]
            axes.barh(row, step_s / 86400, left=at / 86400, color=colour if mpl.colors.is_color_like(colour) else "tab:orange", height=0.7)
    axes.set_yticks(range(len(found)), [one.name[:WIDE] for one in found], fontsize=8)
    axes.set_ylim(-0.6, max(0.6, len(found) - 0.4))
    axes.set_xlabel(" · ".join(f"{colour}: {text}" for text, colour in words.values() if text.strip()), fontsize=7)


def lines(axes: Axes, found: list[Series], unit: str) -> None:
    """A panel of curves."""
    scale = {"bytes": 1e6, "percentunit": 0.01}.get(unit, 1.0)
    for one in found:
        axes.plot([at / 86400 for at in one.at_s], [value / scale for value in one.values], label=one.name[:WIDE], linewidth=1.2)
    axes.set_ylabel({"bytes": "MB", "s": "s", "percentunit": "%"}.get(unit, ""), fontsize=8)
    axes.set_ylim(0, 1.25 * max([value / scale for one in found for value in one.values if value == value], default=0.0) or 1.0)
    if 0 < len(found) <= FEW:
        axes.legend(fontsize=6, loc="upper left", framealpha=0.6)


def words_of(axes: Axes, found: list[Series], panel: dict[str, Any], unit: str) -> None:
    """A panel of numbers or a table: the newest values."""
    axes.axis("off")
    said = mappings(panel)
    told = []
    for one in found:
        value = one.values[-1]
        text = said[value][0] if value in said else f"{value:.4g}"
        if unit == "dateTimeFromNow":
            text = datetime.fromtimestamp(value / 1000, UTC).strftime("%H:%M:%S UTC")
        told.append(one.name if panel["type"] == "table" else f"{one.name}:  {text}{' s' if unit == 's' else ''}")
    axes.text(0.02, 0.9, "\n".join(told) or "no data", va="top", fontsize=9, wrap=True)


def draw(url: str, minutes: float, rate: str, out: Path) -> list[str]:
    """Draw every panel into `out`; returns the titles of panels whose queries have no answer."""
    dashboard = json.loads(DASHBOARD.read_text("utf-8"))
    panels = dashboard["panels"]
    ended_s = time.time()
    began_s = ended_s - 60 * minutes
    high = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    figure = Figure(figsize=(WIDTH_INCHES, high * ROW_INCHES))
    empty = []
    for panel in panels:
        place = panel["gridPos"]
        left, top = place["x"] / COLUMNS, 1 - place["y"] / high
        if panel["type"] == "row":
            figure.text(0.005, top - 0.6 / high, panel["title"], fontsize=14, weight="bold")
            continue
        indent = 0.05 if panel["type"] == "state-timeline" else 0.025
        width, height = place["w"] / COLUMNS - indent - 0.01, (place["h"] - 2.2) / high
        axes = figure.add_axes((left + indent, top - (place["h"] - 1.2) / high, width, height))
        axes.set_title(panel["title"], fontsize=10, loc="left")
        found = [one for target in panel["targets"] for one in series(url, target, began_s, ended_s, rate)]
        unit = panel["fieldConfig"]["defaults"].get("unit", "none")
        if not found:
            empty.append(panel["title"])
        if panel["type"] in ("stat", "table"):
            words_of(axes, found, panel, unit)
            continue
        if panel["type"] == "state-timeline":
            bands(axes, found, mappings(panel), max(1.0, (ended_s - began_s) / POINTS))
        else:
            lines(axes, found, unit)
        axes.set_xlim(began_s / 86400, ended_s / 86400)
        axes.xaxis.set_major_formatter(dates.DateFormatter("%H:%M"))
        axes.tick_params(labelsize=7)
        axes.grid(visible=True, alpha=0.3)
    figure.savefig(out, dpi=70)
    return empty


def main() -> None:
    """Draw it, and list the alerts."""
    parser = argparse.ArgumentParser(prog="bench.dashboard", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--prometheus", default="http://127.0.0.1:9090", metavar="URL")
    parser.add_argument("--minutes", type=float, default=10.0, help="how much of the past is drawn (10)")
    parser.add_argument("--rate", default="15s", metavar="TIME", help="Grafana's $__rate_interval: four scrapes (15s)")
    parser.add_argument("--out", type=Path, default=Path("dashboard.png"), metavar="FILE")
    arguments = parser.parse_args()
    url = arguments.prometheus.rstrip("/")
    empty = draw(url, arguments.minutes, arguments.rate, arguments.out)
    out = Console(highlight=False, markup=False)
    for alert in asked(url, "alerts")["alerts"]:
        name, gate = alert["labels"]["alertname"], alert["labels"].get("gate", "")
        out.print(f"{alert['state']:<8} {name} {gate}: {alert['annotations']['summary']}; {alert['annotations'].get('action', '')}")
    out.print(f"{arguments.out} is drawn. Without an answer: {', '.join(empty) or 'no panel'}")


if __name__ == "__main__":
    main()
