"""Read assets, remote and local: their bytes in ranges, their pixels in windows.

::

    http       one request for a range of bytes
    fetch      ranges from servers, with retries, and from files
    directory  read and write the directory of a TIFF
    tiff       locate the tiles of a TIFF
    deflate    decode DEFLATE tiles
    jpeg2000   read a JPEG 2000 file
    checksum   check bytes against the checksum of an item
    asset      read pixels of an asset
"""
