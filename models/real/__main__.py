"""``python -m models.real``, the shipped model's name for ``recipes.real_land``."""

from recipes.real_land.__main__ import main

if __name__ == "__main__":
    main()
