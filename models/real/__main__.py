"""``python -m models.real``, the shipped model's name for the recipe that made it."""

from recipes.real_land.version1 import main

if __name__ == "__main__":
    main()
