"""Which exchange the settings reach: our own sandbox, or one with money.

Invariant: an exchange is called ours only where no other could be spoken to: the authorities that its certificate is
checked against are the sandbox's own alone. An address tells nothing: behind localhost may be a way to Betfair.
"""

import ssl
from typing import Final

from executor.settings.sections import BetfairSettings

_TEST_AUTHORITY: Final = "Sandbox exchange authority"  # what betfair_sandbox calls the one that it makes


def is_test_exchange(settings: BetfairSettings) -> bool:
    """Tell whether no exchange but our own sandbox can be spoken to."""
    if settings.ca_bundle is None:
        return False
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(settings.ca_bundle)
    except (OSError, ValueError):
        return False
    return {found["subject"] for found in context.get_ca_certs()} == {((("commonName", _TEST_AUTHORITY),),)}
