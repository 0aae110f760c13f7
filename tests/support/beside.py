"""What lies beside a map."""

from pathlib import Path


def with_sidecars(*names: str) -> list[str]:
    """Names of the files of some maps, of their sidecars, and of the first one's report, sorted."""
    found = {f"{names[0]}.report.json"}
    for name in names:
        stem = Path(name).stem
        found |= {name, f"{name}.aux.xml", f"{stem}.qml", f"{stem}.png", f"{stem}.json"}
    return sorted(found)
