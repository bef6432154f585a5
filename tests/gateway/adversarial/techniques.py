"""What is published on request smuggling, each with what it is called there.

RFC 9112 section 11; "HTTP Desync Attacks" and "Browser-Powered Desync Attacks" (Kettle) with the permutations
of the scanner that came with them; "TE.0"; the attacks on chunk extensions (TERM.EXT and its kin); "HTTP
Garden" (Kallus, Anantharaman); advisories on llhttp, Netty, Gunicorn, aiohttp, Puma, HAProxy, Apache, nginx.
"""

from __future__ import annotations

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /x HTTP/1.1\r\nHost: a\r\n"
GET = b"GET /x HTTP/1.1\r\nHost: a\r\n"
END = b"0\r\n\r\n"


def both(coding: bytes, length: int = 5) -> bytes:
    """Framed twice: by `Content-Length`, and by whatever `coding` is taken for."""
    return POST + b"Content-Length: %d\r\n" % length + coding + b"\r\n\r\n" + END


def chunks(body: bytes) -> bytes:
    return POST + b"Transfer-Encoding: chunked\r\n\r\n" + body


TWO_FRAMINGS = {
    "CL.TE": POST + b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
    "TE.CL": POST
    + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n5c\r\n"
    + b"G" * 92
    + b"\r\n"
    + END,
    "TE before CL": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n" + END,
    "CL.TE on GET": GET + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + END,
    "CL 0 with TE": POST + b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n" + END,
    "CL.CL": POST + b"Content-Length: 0\r\nContent-Length: 34\r\n\r\n",
    "CL.CL, the larger first": POST + b"Content-Length: 34\r\nContent-Length: 0\r\n\r\n",
    "CL.CL, equal in value": POST + b"Content-Length: 5\r\nContent-Length: 05\r\n\r\n" + END,
    "CL.CL in two cases": POST + b"Content-Length: 5\r\ncontent-length: 5\r\n\r\n" + END,
    "CL list": POST + b"Content-Length: 5, 0\r\n\r\n" + END,
    "TE.TE": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n" + END,
    "TE.TE, unknown second": POST + b"Transfer-Encoding: chunked\r\nTransfer-encoding: cow\r\n\r\n" + END,
    "TE.TE, unknown first": POST + b"Transfer-Encoding: cow\r\nTransfer-Encoding: chunked\r\n\r\n" + END,
    "TE in HTTP/1.0": b"POST /x HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + END,
    "CL and TE in HTTP/1.0": b"POST /x HTTP/1.0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
    + END,
    "TE in HTTP/1.0, kept alive": b"POST /x HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n" + END,
}

PLAIN_TE = ("tab after the colon", "no space", "upper case", "mixed case")
"""Spellings that are merely unusual: refused beside a length, and chunked alone."""

# In each of these some server has seen `Transfer-Encoding: chunked`, and another one something else.
OBFUSCATED_TE = {
    "tab after the colon": b"Transfer-Encoding:\tchunked",
    "no space": b"Transfer-Encoding:chunked",
    "upper case": b"TRANSFER-ENCODING: CHUNKED",
    "mixed case": b"tRaNsFeR-eNcOdInG: cHuNkEd",
    "space before the colon": b"Transfer-Encoding : chunked",
    "tab before the colon": b"Transfer-Encoding\t: chunked",
    "underscore": b"Transfer_Encoding: chunked",
    "space for the hyphen": b"Transfer Encoding: chunked",
    "space before the name": b" Transfer-Encoding: chunked",
    "folded before the value": b"Transfer-Encoding:\r\n chunked",
    "folded by a tab": b"Transfer-Encoding:\r\n\tchunked",
    "folded into the field before": b"X: y\r\n Transfer-Encoding: chunked",
    "vertical tab before the value": b"Transfer-Encoding: \x0bchunked",
    "form feed before the value": b"Transfer-Encoding: \x0cchunked",
    "form feed after the value": b"Transfer-Encoding: chunked\x0c",
    "NUL before the value": b"Transfer-Encoding: \x00chunked",
    "NUL in the name": b"Transfer-Encoding\x00: chunked",
    "no-break space before the value": b"Transfer-Encoding: \xa0chunked",
    "0x85 after the value": b"Transfer-Encoding: chunked\x85",
    "CR before the value": b"Transfer-Encoding: \rchunked",
    "CR after the value": b"Transfer-Encoding: chunked\r",
    "CR in the name": b"Transfer-\rEncoding: chunked",
    "bare LF before the name": b"X: y\nTransfer-Encoding: chunked",
    "bare CR before the name": b"X: y\rTransfer-Encoding: chunked",
    "LF CR before the name": b"X: y\n\rTransfer-Encoding: chunked",
    "double quotes": b'Transfer-Encoding: "chunked"',
    "single quotes": b"Transfer-Encoding: 'chunked'",
    "prefix": b"Transfer-Encoding: xchunked",
    "suffix": b"Transfer-Encoding: chunkedx",
    "semicolon": b"Transfer-Encoding: chunked;",
    "parameter": b"Transfer-Encoding: chunked;q=0.5",
    "trailing comma": b"Transfer-Encoding: chunked,",
    "leading comma": b"Transfer-Encoding: , chunked",
    "cow, chunked": b"Transfer-Encoding: cow, chunked",
    "chunked, cow": b"Transfer-Encoding: chunked, cow",
    "identity, chunked": b"Transfer-Encoding: identity, chunked",
    "chunked twice in a list": b"Transfer-Encoding: chunked, chunked",
    "space inside": b"Transfer-Encoding: chunk ed",
    "bracketed": b"Transfer-Encoding: [chunked]",
    "colon twice": b"Transfer-Encoding:: chunked",
    "empty, then chunked": b"Transfer-Encoding:\r\nTransfer-Encoding: chunked",
    "non-ASCII k": b"Transfer-Encoding: chun\xe2\x84\xaaed",
    "non-ASCII in the name": b"Tr\xc3\xa0nsfer-Encoding: chunked",
    "backslash": b"Transfer\\-Encoding: chunked",
}

OBFUSCATED_CL = {
    "plus": b"+5",
    "minus": b"-5",
    "minus zero": b"-0",
    "hexadecimal": b"0x5",
    "octal": b"0o5",
    "exponent": b"5e0",
    "fraction": b"5.0",
    "underscore": b"0_5",
    "space inside": b"5 5",
    "trailing word": b"5abc",
    "trailing comma": b"5,",
    "quotes": b'"5"',
    "vertical tab": b"\x0b5",
    "NUL": b"5\x00",
    "full-width digit": b"\xef\xbc\x95",
    "over 64 bits": b"18446744073709551621",
    "over 63 bits": b"9223372036854775813",
    "empty": b"",
    "chunked": b"chunked",
}

BODIES_IN_DOUBT = {
    "0.CL by underscore": GET + b"Content_Length: 34\r\n\r\n",
    "0.CL by a space": GET + b"Content-Length : 34\r\n\r\n",
    "CL.0 by Connection": POST + b"Content-Length: 34\r\nConnection: Content-Length\r\n\r\n",
    "TE.0 by Connection": POST + b"Transfer-Encoding: chunked\r\nConnection: transfer-encoding\r\n\r\n" + END,
    "Host by Connection": GET + b"Connection: keep-alive, Host\r\n\r\n",
    "upgrade with a length": POST
    + b"Upgrade: websocket\r\nConnection: upgrade\r\nContent-Length: 34\r\n\r\n",
    "upgrade with chunks": POST
    + b"Upgrade: h2c\r\nConnection: upgrade\r\nTransfer-Encoding: chunked\r\n\r\n"
    + END,
    "CONNECT with a body": b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\nContent-Length: 34\r\n\r\n",
    "TRACE with a body": b"TRACE /x HTTP/1.1\r\nHost: a\r\nContent-Length: 34\r\n\r\n",
    "Expect of another kind": POST + b"Content-Length: 34\r\nExpect: 100-continue, x\r\n\r\n",
    "Expect twice": POST + b"Content-Length: 34\r\nExpect: 100-continue\r\nExpect: 100-continue\r\n\r\n",
    "obfuscated Expect": POST + b"Content-Length: 34\r\nExpect: y 100-continue\r\n\r\n",
    "forged address by underscore": GET + b"X_Forwarded_For: 127.0.0.1\r\n\r\n",
}

HOSTS_IN_DOUBT = {
    "two Hosts": b"Host: a\r\nHost: b",
    "two Hosts apart": b"Host: a\r\nX: y\r\nHost: b",
    "Host in two cases": b"Host: a\r\nhOST: a",
    "space before the colon": b"Host : a",
    "folded": b"Host: a\r\n b",
    "second one folded": b"Host: a\r\n Host: b",
    "list": b"Host: a,b",
    "user": b"Host: a@b",
    "path": b"Host: a/b",
    "query": b"Host: a?b",
    "fragment": b"Host: a#b",
    "backslash": b"Host: a\\b",
    "space": b"Host: a b",
    "port of letters": b"Host: a:b",
    "port twice": b"Host: a:80:80",
    "NUL": b"Host: a\x00.b",
    "non-ASCII": b"Host: \xc3\xa9",
    "open bracket": b"Host: [::1",
    "empty": b"Host: ",
    "none": b"X: y",
}

LINES_IN_DOUBT = {
    "another host": b"GET http://b/x HTTP/1.1",
    "another port": b"GET http://a:8080/x HTTP/1.1",
    "user in the target": b"GET http://b@a/x HTTP/1.1",
    "https in the target": b"GET https://a/x HTTP/1.1",
    "version with a suffix": b"GET /x HTTP/1.1x",
    "no slash": b"GET x HTTP/1.1",
    "fragment": b"GET /x#y HTTP/1.1",
    "space in the target": b"GET /x y HTTP/1.1",
    "a request in the target": b"GET /x HTTP/1.1 /y HTTP/1.1",
    "tab before the version": b"GET /x\tHTTP/1.1",
    "two spaces": b"GET /x  HTTP/1.1",
    "NUL in the target": b"GET /x\x00 HTTP/1.1",
    "CR in the target": b"GET /x\ry HTTP/1.1",
    "CR at the end": b"GET /x HTTP/1.1\r",
    "version with a blank": b"GET /x HTTP/1. 1",
    "version with two digits": b"GET /x HTTP/1.10",
    "version of one digit": b"GET /x HTTP/1",
    "no version": b"GET /x",
    "lower case version": b"GET /x http/1.1",
    "method with a colon": b"GET: /x HTTP/1.1",
    "quoted method": b'"GET" /x HTTP/1.1',
    "comment method": b"GET\x0b/x HTTP/1.1",
}

CHUNKS_IN_DOUBT = {
    "size with a prefix": b"0x5\r\nhello\r\n" + END,
    "size with a plus": b"+5\r\nhello\r\n" + END,
    "size with a minus": b"-5\r\nhello\r\n" + END,
    "size with an underscore": b"0_5\r\nhello\r\n" + END,
    "size with a space": b"5 \r\nhello\r\n" + END,
    "size after a space": b" 5\r\nhello\r\n" + END,
    "size after a tab": b"\t5\r\nhello\r\n" + END,
    "size that wraps 64 bits": b"10000000000000005\r\nhello\r\n" + END,
    "size that wraps 32 bits by sign": b"fffffffffffffffb\r\nhello\r\n" + END,
    "size of no digit": b";x\r\nhello\r\n" + END,
    "size of other letters": b"g\r\nhello\r\n" + END,
    "size in quotes": b'"5"\r\nhello\r\n' + END,
    "LF after the size": b"5\nhello\r\n" + END,
    "CR after the size": b"5\rhello\r\n" + END,
    "CR CR LF after the size": b"5\r\r\nhello\r\n" + END,
    "LF CR after the size": b"5\n\rhello\r\n" + END,
    "LF in an extension (TERM.EXT)": b"5;x\nhello\r\n" + END,
    "CR in an extension": b"5;x\ryyy\r\nhello\r\n" + END,
    "NUL in an extension": b"5;\x00\r\nhello\r\n" + END,
    "extension after a space": b"5 ;x\r\nhello\r\n" + END,
    "LF after the data": b"5\r\nhello\n" + END,
    "CR after the data": b"5\r\nhello\r0\r\n\r\n",
    "no line end after the data": b"5\r\nhello" + END,
    "two bytes for CRLF (SPILL.TERM)": b"5\r\nhelloXX" + END,
    "data over its size": b"5\r\nhellohello\r\n" + END,
    "LF after the last chunk": b"5\r\nhello\r\n0\n\r\n",
    "LF as the end": b"5\r\nhello\r\n0\r\n\n",
    "bare LF trailer": b"5\r\nhello\r\n0\r\nX: y\n\r\n",
    "folded trailer": b"5\r\nhello\r\n0\r\nX: y\r\n z\r\n\r\n",
    "trailer without a colon": b"5\r\nhello\r\n0\r\nGET /smuggled HTTP/1.1\r\n\r\n",
    "length as a trailer": b"5\r\nhello\r\n0\r\nContent-Length: 34\r\n\r\n",
    "coding as a trailer": b"5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "Host as a trailer": b"5\r\nhello\r\n0\r\nHost: b\r\n\r\n",
    "credentials as a trailer": b"5\r\nhello\r\n0\r\nAuthorization: Basic YTpi\r\n\r\n",
}


def refused_heads() -> dict[str, bytes]:
    """Requests that must be refused when their head is complete."""
    lines = {f"line: {name}": line + b"\r\nHost: a\r\n\r\n" for name, line in LINES_IN_DOUBT.items()}
    hosts = {
        f"Host: {name}": b"GET /x HTTP/1.1\r\n" + field + b"\r\n\r\n"
        for name, field in HOSTS_IN_DOUBT.items()
    }
    codings = {f"TE: {name}": both(coding) for name, coding in OBFUSCATED_TE.items()}
    alone = {
        f"TE alone: {name}": POST + coding + b"\r\n\r\n" + END
        for name, coding in OBFUSCATED_TE.items()
        if name not in PLAIN_TE
    }
    lengths = {
        f"CL: {name}": POST + b"Content-Length: " + value + b"\r\n\r\n" + END
        for name, value in OBFUSCATED_CL.items()
    }
    return TWO_FRAMINGS | BODIES_IN_DOUBT | lines | hosts | codings | alone | lengths
