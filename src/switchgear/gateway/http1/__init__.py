"""HTTP/1.x on the wire, strictly: heads, bodies, and the connection to a client.

Heads are checked and cut by one grammar of compiled regular expressions, bodies by two small decoders. A
general parser was tried in front and rejected: it can't pause (so pipelined requests all arrive at once),
hands out trailers as if they were fields of the head, leaves the body of a request with `Upgrade` unparsed,
and takes a good part of what has to be refused, so that all the checks below would stand beside it anyway.
Two parsers that disagree are how requests are smuggled; here there is one, and the tests hold two others
against it.
"""
