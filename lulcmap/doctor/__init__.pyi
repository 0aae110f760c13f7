from .checks import run_checks

__all__ = [
    "run_checks",
]
