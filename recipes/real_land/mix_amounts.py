"""Shares of what version 2 is trained on."""

REAL, FIELDS, WILD = "real", "fields", "wild"
"""Real scenes with the teacher's labels; landscapes of fields, towns and quilts; wild ones."""

SHARES = {REAL: 0.45, FIELDS: 0.27, WILD: 0.28}
"""Share of each in the draws. More than half of the draws real made a student worse."""

WILD_SHARES = {
    **{"desert": 0.2, "steppe": 0.17, "shrubland": 0.12, "bare": 0.11},
    **{"wetland": 0.15, "winter": 0.08, "autumn": 0.17},
}
"""Share of each kind in the wild landscapes."""
