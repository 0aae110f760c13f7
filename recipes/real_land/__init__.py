"""The recipe of the model that knows real land: from real samples to one ONNX file.

Run as ``python -m recipes.real_land``; ``README.md`` beside this file says what it does and what is
measured.
"""
