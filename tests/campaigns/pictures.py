"""The pictures of `docs/screens`: the screens of the invented device, painted character by character.

Nothing but the environment of the tests is needed: the font is matplotlib's own, braille is painted as its dots. The
same screens give the same pictures, byte for byte.

Run it with `make screens`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
from PIL import Image, ImageDraw, ImageFont

from appliance.tui.app import ApplianceApp, TuiSettings
from appliance.tui.ledger_source import LedgerSource
from appliance.tui.screens import BY_NAME
from tests.fakes.screens import ORDER, STATES, StoppedClock, build_devices

SMALL, LARGE = (80, 24), (120, 40)
CELL, POINTS, BORDER = (10, 20), 16.6, 10  # pixels; the font's advance is 0.602 of its size
SVG_CELL = (12.2, 24.4)  # of the picture that Textual exports
GROUND = "#0c0c0c"
BRAILLE, DOTS = 0x2800, ((0x01, 0, 0), (0x02, 0, 1), (0x04, 0, 2), (0x40, 0, 3), (0x08, 1, 0), (0x10, 1, 1), (0x20, 1, 2), (0x80, 1, 3))


@dataclass(frozen=True)
class Shot:
    """One picture: which screen of which device, how large, and what is pressed before."""

    name: str
    screen: str = "overview"
    size: tuple[int, int] = LARGE
    state: str = "normal"
    keys: tuple[str, ...] = ()
    is_monochrome: bool = False


AT_80X24 = ("overview", "blotter", "trace", "events", "performance", "attribution", "life")
SHOTS = (
    *(Shot(name, name) for name in BY_NAME),
    *(Shot(f"{name}_80x24", name, SMALL) for name in AT_80X24),
    *(Shot(state, state=state) for state in STATES if state != "normal"),
    Shot("light", "blotter", keys=("L",)),
    Shot("light_performance", "performance", keys=("L",)),
    Shot("monochrome", "performance", is_monochrome=True),
    Shot("help", size=SMALL, keys=("question_mark",)),
)


def main() -> None:
    """Paint them all, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="pictures; all of them when none is named")
    parser.add_argument("--to", type=Path, default=Path("docs/screens"))
    asked = parser.parse_args()
    to = asked.to.resolve()
    to.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        build_devices(Path(folder))
        for shot in SHOTS:
            if not asked.names or shot.name in asked.names:
                painted(asyncio.run(exported(Path(folder), shot)), shot.size).save(to / f"{shot.name}.png", optimize=True)
                print(to / f"{shot.name}.png")


async def exported(devices: Path, shot: Shot) -> str:
    """What the screen shows, as Textual exports it."""
    with contextlib.chdir(devices / shot.state), _monochrome(shot.is_monochrome):
        source = LedgerSource(Path("device"), StoppedClock())
        app = ApplianceApp(source, TuiSettings(refresh_seconds=0.0, start=shot.screen), monotonic=lambda: 0.0)
        app.order = ORDER
        async with app.run_test(size=shot.size) as pilot:
            for key in (None, *shot.keys):
                if key is not None:
                    await pilot.press(key)
                for _ in range(3):
                    await pilot.pause()
                    while app.is_reading:
                        await pilot.pause(0.005)
            return app.export_screenshot()


@contextlib.contextmanager
def _monochrome(is_meant: bool) -> Iterator[None]:
    if is_meant:
        os.environ["NO_COLOR"] = "1"
    try:
        yield
    finally:
        if is_meant:
            del os.environ["NO_COLOR"]


def painted(svg: str, size: tuple[int, int]) -> Image.Image:
    """Paint the exported characters, each into its own cell."""
    styles = {
        name: dict(part.strip().split(":", 1) for part in body.split(";") if ":" in part)
        for name, body in re.findall(r"\.(terminal-\d+-r\d+) \{([^}]*)\}", svg)
    }
    columns, lines = size
    image = Image.new("RGB", (columns * CELL[0] + 2 * BORDER, lines * CELL[1] + 2 * BORDER), GROUND)
    draw = ImageDraw.Draw(image)
    fonts = _fonts()
    for element in ElementTree.fromstring(svg).iter():
        kind, given = element.tag.rsplit("}", 1)[-1], element.attrib
        if kind == "rect" and given.get("shape-rendering") == "crispEdges":
            x, y = _place(given, 1.5)
            cells = max(1, round(float(given["width"]) / SVG_CELL[0]))
            draw.rectangle((x, y, x + cells * CELL[0] - 1, y + CELL[1] - 1), fill=given["fill"])
        elif kind == "text" and given.get("class") in styles:
            _write(draw, _place(given, 20.0), element.text or "", styles[given["class"]], fonts)
    return image


def _place(given: dict[str, str], baseline: float) -> tuple[int, int]:
    column, line = float(given["x"]) / SVG_CELL[0], (float(given["y"]) - baseline) / SVG_CELL[1]
    return BORDER + round(column) * CELL[0], BORDER + round(line) * CELL[1]


def _fonts() -> dict[bool, ImageFont.FreeTypeFont]:
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    names = {False: "DejaVuSansMono.ttf", True: "DejaVuSansMono-Bold.ttf"}
    return {is_bold: ImageFont.truetype(folder / name, POINTS) for is_bold, name in names.items()}


def _write(
    draw: ImageDraw.ImageDraw, at: tuple[int, int], text: str, style: dict[str, str], fonts: dict[bool, ImageFont.FreeTypeFont]
) -> None:
    left, top = at
    fill, font = style["fill"].strip(), fonts["bold" in style.get("font-weight", "")]
    if "underline" in style.get("text-decoration", ""):
        draw.line((left, top + CELL[1] - 2, left + len(text) * CELL[0] - 1, top + CELL[1] - 2), fill=fill)
    for i, cell in enumerate(text):
        x = left + i * CELL[0]
        if BRAILLE <= ord(cell) < BRAILLE + 256:
            for bit, across, down in DOTS:
                if (ord(cell) - BRAILLE) & bit:
                    corner = (x + 1 + 5 * across, top + 1 + 5 * down)
                    draw.rectangle((*corner, corner[0] + 2, corner[1] + 2), fill=fill)
        elif not cell.isspace():
            draw.text((x, top + CELL[1] - 5), cell, font=font, fill=fill, anchor="ls")


if __name__ == "__main__":
    main()
