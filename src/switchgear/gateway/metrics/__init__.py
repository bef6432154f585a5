"""What a gateway counts: while requests run a few additions, and everything else when somebody asks."""
