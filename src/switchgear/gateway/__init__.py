"""The HTTP gateway: routes in front of services, each guarded by circuits."""
