"""Dynamic World's network, made a model of lulcmap from the weights that Google released.

::

    release     what Google released, and where
    checksum    CRC-32C, as TensorFlow writes it
    table       a table of keys and values (LevelDB's, that of variables.index)
    bundle      TensorFlow's variable bundle: tensors by name
    atmosphere  reflectance at the surface to reflectance at the top of the atmosphere
    network     the weights as a graph of ONNX
    trial       known pixels and their logits, by which the graph is judged
    card        the model card
    build       from the bundle to the file of a model, checked
"""
