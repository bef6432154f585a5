"""Circuits of several processes on one machine, in the memory of one of them, over a Unix socket.

The process that has them serves them by `CircuitServer`; the others use `SocketCircuitStore`.
"""
