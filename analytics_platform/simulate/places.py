"""Where the simulated people live: countries, their cities, and how common each is.

Belongs here: the names and shares. Does not: drawing a place for a user (`population.py`).
"""

# Country -> (share of users, its cities with their relative weight, most common first). Shares add up to 1.
COUNTRIES: dict[str, tuple[float, dict[str, float]]] = {
    "Russia": (
        0.860,
        {
            "Moscow": 15,
            "Saint Petersburg": 8,
            "Novosibirsk": 2.6,
            "Yekaterinburg": 2.4,
            "Kazan": 2.1,
            "Nizhny Novgorod": 2,
            "Chelyabinsk": 1.9,
            "Krasnoyarsk": 1.8,
            "Samara": 1.8,
            "Ufa": 1.7,
            "Rostov": 1.7,
            "Omsk": 1.6,
            "Krasnodar": 1.5,
            "Voronezh": 1.5,
            "Perm": 1.5,
            "Volgograd": 1.4,
            "Saratov": 1.2,
            "Tyumen": 1.1,
            "Tolyatti": 1,
            "Izhevsk": 1,
            "Barnaul": 1,
            "Irkutsk": 0.9,
            "Ulyanovsk": 0.9,
            "Khabarovsk": 0.9,
            "Vladivostok": 0.9,
            "Yaroslavl": 0.9,
            "Makhachkala": 0.8,
            "Tomsk": 0.8,
            "Orenburg": 0.8,
            "Kemerovo": 0.8,
            "Ryazan": 0.7,
            "Penza": 0.7,
            "Lipetsk": 0.7,
            "Kirov": 0.7,
            "Tula": 0.7,
            "Kaliningrad": 0.7,
            "Stavropol": 0.6,
            "Sochi": 0.6,
            "Tver": 0.6,
            "Murmansk": 0.4,
        },
    ),
    "Ukraine": (0.052, {"Kyiv": 8, "Kharkiv": 4, "Odesa": 3, "Dnipro": 3, "Lviv": 2, "Zaporizhzhia": 2}),
    "Belarus": (0.028, {"Minsk": 8, "Gomel": 2, "Mogilev": 1.4, "Vitebsk": 1.4, "Grodno": 1.4, "Brest": 1.3}),
    "Kazakhstan": (0.024, {"Almaty": 7, "Astana": 4, "Shymkent": 3, "Karaganda": 2, "Aktobe": 1.5}),
    "Azerbaijan": (0.012, {"Baku": 8, "Ganja": 2, "Sumgait": 2}),
    "Finland": (0.009, {"Helsinki": 6, "Espoo": 2.5, "Tampere": 2, "Turku": 1.5}),
    "Turkey": (0.006, {"Istanbul": 8, "Ankara": 3, "Izmir": 2, "Antalya": 2}),
    "Latvia": (0.004, {"Riga": 7, "Daugavpils": 1, "Liepaja": 1}),
    "Estonia": (0.002, {"Tallinn": 5, "Tartu": 1.5}),
    "Cyprus": (0.002, {"Limassol": 3, "Nicosia": 2}),
    "Switzerland": (0.001, {"Zurich": 3, "Geneva": 2}),
}

COUNTRY_NAMES: tuple[str, ...] = tuple(COUNTRIES)
CITY_NAMES: tuple[str, ...] = tuple(city for _, cities in COUNTRIES.values() for city in cities)


def city_shares() -> tuple[list[float], list[int]]:
    """Per entry of `CITY_NAMES`: its share of all users, and the position of its country in `COUNTRY_NAMES`."""
    shares: list[float] = []
    countries: list[int] = []
    for position, (share, cities) in enumerate(COUNTRIES.values()):
        total = sum(cities.values())
        shares += [share * weight / total for weight in cities.values()]
        countries += [position] * len(cities)
    return shares, countries
