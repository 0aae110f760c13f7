"""The recipe of the model of real land: from real samples to one ONNX file.

Run it as ``python -m recipes.real_land``; ``README.md`` beside this file explains what it does and
what the model is worth.
"""
