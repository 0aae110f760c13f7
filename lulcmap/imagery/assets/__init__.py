"""Assets wherever they lie: which may be opened, their bytes in ranges, their pixels in windows.

::

    hrefs      which hrefs may be opened
    servers    one request for a range of bytes
    fetch      ranges, with patience, from servers and files
    tiff       where a TIFF's tiles lie
    deflated   tiles in DEFLATE to pixels
    assets     an asset to pixels
"""
