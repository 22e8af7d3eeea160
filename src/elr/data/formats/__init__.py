"""How data lie: one class a format, of which `elr.data.formats.catalog.FORMATS` is the list."""

from elr.data.formats.format import FileFormat as FileFormat
from elr.data.formats.format import Format as Format
from elr.data.formats.table import TableFile as TableFile
