"""Types as users see them."""  # noqa: A005  # of tests only
