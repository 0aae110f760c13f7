"""``python -m models.real``, as the shipped model names its recipe: now ``recipes.real_land``."""

from recipes.real_land.__main__ import main

if __name__ == "__main__":
    main()
