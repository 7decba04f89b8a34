"""What holders.py has from another module."""

SHARED = []
RECENT = []


class Session:
    def __init__(self, number):
        self.number = number


class Cache:
    """Its items are behind a name that is no attribute of anything else."""

    def __init__(self):
        self.hidden = []


cache = Cache()
