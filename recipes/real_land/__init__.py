"""The recipe of the model trained on real land: from real samples to one ONNX file.

Run it with ``python -m recipes.real_land``. ``README.md`` beside this file explains what it does
and what is measured.
"""
