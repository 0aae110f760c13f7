"""Read assets, remote and local: their bytes in ranges, their pixels in windows.

::

    http     one request for a range of bytes
    fetch    ranges from servers, with retries, and from files
    tiff     locate the tiles of a TIFF
    deflate  decode DEFLATE tiles
    asset    read pixels of an asset
"""
