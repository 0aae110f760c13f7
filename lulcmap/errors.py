"""Everything lulcmap raises on purpose.

::

    LulcmapError              1
    ├── UsageError            2    options, dates, configuration
    │   └── AreaError         2    the area of interest cannot be used
    ├── NoScenesError         3    the catalogue holds nothing for this area and period
    │   └── NothingMappedError 3   no pixel could be mapped from its scenes
    ├── ProviderError         5    a provider, its credentials, or too many of its assets failed
    │   └── ReadError         5    one asset's pixels could not be read
    ├── ModelError            6    the model file does not fit the data, or is not a model
    │   └── DeviceError       6    the runtime or the requested device is not available
    └── OutputError           7    the output exists, or cannot be written

The number is the exit code. A message says what was found, what was expected, and what to do
next. Wrong *code* (a bad shape, a bad argument type) raises ``ValueError`` or ``TypeError``.
"""


class LulcmapError(Exception):
    """Base of every error lulcmap raises on purpose."""

    exit_code = 1


class UsageError(LulcmapError):
    """An option, a date or a configuration cannot be used."""

    exit_code = 2


class AreaError(UsageError):
    """The area of interest cannot be used."""


class NoScenesError(LulcmapError):
    """The catalogue holds nothing for this area and period."""

    exit_code = 3


class NothingMappedError(NoScenesError):
    """No pixel of the area could be mapped from the scenes of the catalogue."""


class ProviderError(LulcmapError):
    """A provider, its credentials, or too many of its assets failed."""

    exit_code = 5


class ReadError(ProviderError):
    """One asset's pixels could not be read."""


class ModelError(LulcmapError):
    """The model file does not fit the data it is given, or is not a model."""

    exit_code = 6


class DeviceError(ModelError):
    """The runtime or the requested device is not available."""


class OutputError(LulcmapError):
    """The output exists, or cannot be written."""

    exit_code = 7
