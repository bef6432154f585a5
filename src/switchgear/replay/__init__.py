"""A recorded access log, run through a policy: what a circuit breaker would have done.

`formats` reads lines, `lanes` brings calls into the order of time, `track` runs one key under one policy by
the machine that guards calls in production, `report` is what came out. Nothing here prints, and time is only
what the log says.

It needs the extra `gateway`: policies are read as a gateway's file is, and JSON lines are decoded by msgspec.
"""
