"""A network's graph, rewritten for ONNX Runtime's CPU when a session opens; files stay as they are.

The function is the same, with fewer passes over memory. What is not recognised stays as it is.

::

    graph       a graph that is rewritten: its nodes, constants and users, and the new file
    pixels      what is before the first convolution, band by band, so that it stays in the cache
    upsampling  bilinear upsampling with the channels last, several times as fast
    attention   attention as one operator, which does not write the scores to memory
    linear      linear layers: those that attention can take in, and those before a convolution
    rewrite     all of them, one after the other
"""
