"""Several processes that are one gateway.

The supervisor opens the listening sockets, starts the workers, and replaces those that crash. With circuits
in memory it keeps them, and the workers share them over a Unix socket.
"""
