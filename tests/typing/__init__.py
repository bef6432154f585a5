# nobody imports `typing` from here
