"""Pieces of the grammar (RFC 9110, 9112), without its leniencies: no bare CR or LF, no folding, no space
before the colon.

Quantifiers are possessive: no input makes an expression backtrack.
"""

import re
from typing import Final

TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
VALUE: Final = rb"[\t\x20-\x7e\x80-\xff]*+"
FIELD_LINE: Final = TOKEN + rb":" + VALUE + rb"\r\n"
TARGET: Final = rb'[!"$-~]++'  # visible ASCII but no fragment

match_fields_end: Final = re.compile(rb"(?:" + FIELD_LINE + rb")*+\r\n").match
"""Where fields and the empty line after them end; `None` if a line is not a field."""

find_fields: Final = re.compile(rb"(" + TOKEN + rb"):[ \t]*+(" + VALUE + rb")\r\n").finditer
"""Cuts what `match_fields_end` accepted. A value's trailing white space is still there."""

find_stray: Final = re.compile(rb"(?<!\r)\n|\r(?=[^\n])|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]").search
"""A line end that is not CRLF, or a control character: no head that begins so can become a good one."""

match_token_list: Final = re.compile(rb"[ \t,]*+(?:" + TOKEN + rb"[ \t]*+(?:,[ \t,]*+|\Z))*+\Z").match

fullmatch_host: Final = re.compile(
    rb"(?:[A-Za-z0-9._~!$&'()*+;=%\-]++|\[[0-9A-Fa-f:.]++\])(?::[0-9]{1,5}+)?+"
).fullmatch
