"""Assets wherever they lie: their bytes in ranges, their pixels in windows.

::

    http     one request for a range of bytes
    fetch    ranges, with patience, from servers and files
    tiff     where a TIFF's tiles lie
    deflate  tiles in DEFLATE to pixels
    asset    an asset to pixels
"""
