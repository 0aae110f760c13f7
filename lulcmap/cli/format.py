"""Values as text."""


def duration(seconds: float) -> str:
    """A duration in its largest fitting unit.

    Examples:
        >>> duration(42.4), duration(3600), duration(1e5)
        ('42 s', '60 min', '28 h')

    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.0f} min"
    hours = seconds / 3600
    return f"{hours:.0f} h" if hours < 72 else f"{hours / 24:.1f} days"
