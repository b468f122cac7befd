"""What can be asked: a table of routes, what each does, and what it is answered with."""
