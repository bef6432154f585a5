"""The tests of integrations against the oldest and the newest version of their hosts: `make test-hosts`."""
