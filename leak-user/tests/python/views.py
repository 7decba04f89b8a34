"""Takes from store.py what holders.py has from there only through that."""
from store import RECENT, Session


def view(number):
    RECENT.append(Session(number))
    return RECENT
