"""Emoji as a data set of drawings: a class is one of Unicode's subgroups of emoji, or a few.

The classes have 25 to 63 drawings each.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

# A subgroup of fewer emoji than 25 stands with those it looks like, or is left out.
CLASSES = {
    "happy faces": ("face-smiling", "face-affection", "face-tongue"),
    "weary faces": ("face-neutral-skeptical", "face-sleepy", "face-unwell"),
    "worried faces": ("face-concerned", "face-negative"),
    "hearts and emotions": ("heart", "emotion"),
    "hands": (
        "hand-fingers-open",
        "hand-fingers-partial",
        "hand-single-finger",
        "hand-fingers-closed",
        "hands",
        "hand-prop",
    ),
    "people": ("person", "person-gesture", "person-role", "person-fantasy"),
    "people in motion": ("person-activity", "person-sport"),
    "mammals": ("animal-mammal",),
    "birds and reptiles": ("animal-bird", "animal-reptile"),
    "bugs and marine animals": ("animal-bug", "animal-marine"),
    "plants": ("plant-flower", "plant-other"),
    "fruit and vegetables": ("food-fruit", "food-vegetable"),
    "meals": ("food-prepared",),
    "Asian food and sweets": ("food-asian", "food-sweet"),
    "drinks and dishes": ("drink", "dishware"),
    "buildings": ("place-building", "place-religious"),
    "land vehicles": ("transport-ground",),
    "clocks": ("time",),
    "sky and weather": ("sky & weather",),
    "events and medals": ("event", "award-medal"),
    "sports": ("sport",),
    "games and arts": ("game", "arts & crafts"),
    "clothing": ("clothing",),
    "music and sound": ("sound", "music", "musical-instrument"),
    "devices": ("phone", "computer", "light & video"),
    "paper and mail": ("book-paper", "mail"),
    "office": ("office", "writing"),
    "tools": ("tool",),
    "household": ("household",),
    "traffic signs": ("transport-sign", "warning"),
    "arrows and buttons": ("arrow", "av-symbol"),
    "religion and zodiac": ("religion", "zodiac"),
    "letters": ("alphanum",),
    "shapes": ("geometric",),
}
# Later lists have more emoji, and every machine should draw the same: Debian 12 has version 15.0.
NEWEST = (15, 0)
# The only size that the font has, its bitmaps': 136 x 128, with 4 empty columns at either side.
FONT_SIZE = 109
MARGIN = 4
SIZE = 128
ENTRY = re.compile(r"(?P<code>[0-9A-F]+)(?: FE0F)? *; fully-qualified .* E(?P<version>\d+\.\d+) ")


def draw_emoji(font: Path, listing: Path, destination: Path) -> None:
    """Write the emoji of every class as <class>/<code point>.png, 128 x 128 RGB on white.

    Args:
        font: NotoColorEmoji.ttf, with bitmaps (CBDT).
        listing: Unicode's emoji-test.txt.
        destination: a folder, made where it is missing.

    Raises:
        OSError: the font cannot be read or has no bitmaps of that size.
    """
    # The other layout, with ligatures, needs a library that a machine may lack.
    loaded = ImageFont.truetype(str(font), FONT_SIZE, layout_engine=ImageFont.Layout.BASIC)
    names = {subgroup: name for name, subgroups in CLASSES.items() for subgroup in subgroups}
    for subgroup, code in _single_emoji(listing.read_text(encoding="utf-8")):
        if subgroup in names:
            folder = destination / names[subgroup]
            folder.mkdir(parents=True, exist_ok=True)
            image = Image.new("RGB", (SIZE, SIZE), "white")
            ImageDraw.Draw(image).text(
                (-MARGIN, 0), chr(code), fill="black", font=loaded, embedded_color=True
            )
            image.save(folder / f"{code:05x}.png")


def _single_emoji(listing: str) -> Iterator[tuple[str, int]]:
    """Subgroup and code point of every emoji that is one code point up to the version NEWEST.

    Sequences are left out: skin tones and genders repeat a drawing, and so do most others;
    flags of countries need a layout with ligatures.

    >>> lines = ["# subgroup: heart", "2764 FE0F ; fully-qualified # ❤️ E0.6 red heart"]
    >>> list(_single_emoji("\\n".join(lines)))
    [('heart', 10084)]
    """
    subgroup = ""
    for line in listing.splitlines():
        if line.startswith("# subgroup: "):
            subgroup = line.removeprefix("# subgroup: ").strip()
        elif entry := ENTRY.match(line):
            major, minor = entry["version"].split(".")
            if (int(major), int(minor)) <= NEWEST:
                yield subgroup, int(entry["code"], 16)
