"""Names and places, with the letters real ones have, and the staff list."""

from __future__ import annotations

import unicodedata
from random import Random

from pipeline.demo.layout import EMPLOYEE_HEADER


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FIRST_NAMES = _words(
    "Anna José Björn Zoë Renée Jürgen Malgosia Íñigo Chloé Lukas Emma Noah Mia Søren "
    "Åsa Günther François Inés Beatriz João Nuño Olivia Liam Héloïse Käthe Thomas "
    "Sofia Marek Petra Ana-Lucía Ivan Elif Yusuf Aïcha Ravi Priya Mei Kenji Grace "
    "Oscar Freya Hugo Amélie Jörg Silvia Pål Úrsula Tom Nadia Bram"
)
LAST_NAMES = _words(
    "Müller Weiß Núñez García Groß Lefèvre Peña Sørensen Åkesson Straßer Jönsson "
    "O'Brien Smith Nguyen Rossi D'Amico Conceição Muñoz Dübendorfer Ibáñez Schäfer "
    "Kowalski Novak Jansen Haddad Yilmaz Tanaka Patel Silva Brontë Fürst Öztürk "
    "Björklund Martínez Dupré Keller Bauer Evans Murphy Castañeda Huß Lindström "
    "Vogel Marín Ferreira Köhler"
)
CITIES = (
    ("München", "Germany"),
    ("Köln", "Germany"),
    ("Gießen", "Germany"),
    ("Berlin", "Germany"),
    ("Zürich", "Switzerland"),
    ("Genève", "Switzerland"),
    ("Málaga", "Spain"),
    ("A Coruña", "Spain"),
    ("Madrid", "Spain"),
    ("Orléans", "France"),
    ("Saint-Étienne", "France"),
    ("Paris", "France"),
    ("Malmö", "Sweden"),
    ("Göteborg", "Sweden"),
    ("São Paulo", "Brazil"),
    ("Florianópolis", "Brazil"),
    ("Århus", "Denmark"),
    ("Tromsø", "Norway"),
    ("Lisboa", "Portugal"),
    ("Évora", "Portugal"),
    ("London", "United Kingdom"),
    ("Leeds", "United Kingdom"),
    ("Dublin", "Ireland"),
    ("Wien", "Austria"),
    ("Sankt Pölten", "Austria"),
    ("Milano", "Italy"),
    ("Forlì", "Italy"),
    ("Gent", "Belgium"),
    ("Liège", "Belgium"),
    ("Utrecht", "Netherlands"),
)
SEGMENTS = ("consumer", "small business", "corporate", "public")
_TEAMS = ("North", "South", "Harbour", "Hills", "Old Town", "Riverside")
_POSITIONS = ("Picker", "Packer", "Driver", "Buyer", "Clerk", "Shift Lead")
_MIDDLE_NAMES = ("Maria", "Luis", "Jean", "Elise")


def ascii_name(name: str) -> str:
    """A name as it stands in an e-mail address."""
    plain = name.lower().replace("ß", "ss").replace("ø", "o")
    folded = unicodedata.normalize("NFKD", plain)
    return "".join(c for c in folded if c.isascii() and (c.isalnum() or c == "-"))


FIRST_MAIL = tuple(map(ascii_name, FIRST_NAMES))
LAST_MAIL = tuple(map(ascii_name, LAST_NAMES))


def employee_lines(seed: int) -> list[str]:
    """The header and sixty people; two share a name, one has no weight."""
    rng = Random(f"{seed}:employees")
    names = _staff_names(rng)
    rows = [_employee(rng, name) for name in names]
    rows[7] = [*rows[7][:4], "", rows[7][5]]
    rows[31] = [*rows[12][:5], f"{int(rows[12][5][:2]) + 3}.25"]
    return [EMPLOYEE_HEADER, *(",".join(row) for row in rows)]


def _staff_names(rng: Random) -> list[str]:
    pairs = rng.sample(range(len(FIRST_NAMES) * len(LAST_NAMES)), 60)
    names = [f"{FIRST_NAMES[p // len(LAST_NAMES)]} {LAST_NAMES[p % len(LAST_NAMES)]}" for p in pairs]
    for place in range(0, 60, 9):
        first, last = names[place].split(" ")
        names[place] = f"{first} {rng.choice(_MIDDLE_NAMES)} {last}"
    return names


def _employee(rng: Random, name: str) -> list[str]:
    return [
        name,
        rng.choice(_TEAMS),
        rng.choice(_POSITIONS),
        str(rng.randint(60, 80)),
        str(rng.randint(110, 260)),
        f"{rng.randint(18, 64)}.{rng.randint(0, 99):02d}",
    ]
