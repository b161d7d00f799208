"""Devices: the program and the system that a user agent names, in a few words."""

# The first that fits names it: Edge and Opera call themselves Chrome, too, and Chrome calls itself Safari.
_PROGRAMS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("Vivaldi/", "Vivaldi"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chromium/", "Chromium"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
# Android calls itself Linux, too, and an iPad a Mac.
_SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("CrOS", "ChromeOS"),
    ("Macintosh", "macOS"),
    ("Linux", "Linux"),
)
_LONGEST = 60


def device_of(user_agent: str | None) -> str:
    """Name a device: `Firefox on Linux`, or the first word of a program that is no browser."""
    if not user_agent or not user_agent.strip():
        return "a program that does not tell its name"
    system = next((name for sign, name in _SYSTEMS if sign in user_agent), None)
    program = next((name for sign, name in _PROGRAMS if sign in user_agent), None)
    if program is None:
        program = user_agent.split()[0][:_LONGEST]
    return program if system is None else f"{program} on {system}"
